//! Whose rights the store's own work is done with, and which triggers stand aside for it.
//!
//! A trigger of the store keeps what the writer may not touch and looks at what the writer may not see: liveness, calculations,
//! devices of other tenants. So it acts as the owner of the store. What it writes itself needs no further triggers, since it
//! does their work in one go and in one order of locks; so does `ingest_status()`, and upkeep where it deletes what has expired.
//!
//! Neither can be asked for. Both hold while a function of ours runs, for what that very function writes, and for nothing that
//! a trigger or function of somebody else writes meanwhile: [`AT_WORK`] notes which of ours run, and how deep in triggers each
//! is. An error ends them as it ends their transaction or subtransaction: that is where it is seen, as PostgreSQL itself sets
//! back the role there.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_int, c_void};

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgSqlErrorCode, is_a, pg_guard};

use crate::error::refuse;
use crate::fmgr::{Call, sql_function};

thread_local! {
    /// The functions of ours that run now, the innermost last.
    static AT_WORK: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

/// A function of ours that runs.
#[derive(Clone, Copy)]
struct Work {
    /// In how many triggers it runs; a trigger that one of its statements fires is one deeper.
    trigger_depth: c_int,
    /// In how many transactions, one within the other.
    transaction_depth: c_int,
    /// For whom it works.
    caller: Role,
}

/// A role, with what PostgreSQL allows it meanwhile.
#[derive(Clone, Copy)]
#[repr(C)]
struct Role {
    id: Oid,
    context: c_int,
}

// What a trigger has done is in the function that its argument names; what another function has done, in one of the same schema
// and arguments whose name has this behind it.
const WORK_OF: &str = "_work";

/// Defines a function that has another one do its work: `relay!(iot_kpi_quietly, |call| …)` says which, and as whom.
///
/// The other one is called without the guard that makes a panic of an error of PostgreSQL: an error passes by as it is, with all its
/// fields and its context. That is sound as these frames own nothing that would have to be dropped.
macro_rules! relay {
    ($name:ident, $choose:expr) => {
        const _: () = {
            static INFO: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };

            #[unsafe(export_name = concat!("pg_finfo_", stringify!($name)))]
            extern "C" fn info() -> *const pg_sys::Pg_finfo_record {
                &INFO
            }

            #[pg_guard]
            unsafe extern "C-unwind" fn begin(fcinfo: pg_sys::FunctionCallInfo) -> Relay {
                let choose: fn(&Call) -> Relay = $choose;
                // SAFETY: as below.
                choose(&unsafe { Call::new(fcinfo) })
            }

            #[unsafe(export_name = stringify!($name))]
            unsafe extern "C-unwind" fn call(fcinfo: pg_sys::FunctionCallInfo) -> Datum {
                // SAFETY: PostgreSQL calls a version-1 function with a valid fcinfo, and filled in the one that is called here.
                unsafe {
                    let relay = begin(fcinfo);
                    let Some(work) = relay.work else {
                        return Datum::from(0);
                    };
                    let result = work(relay.call);
                    (*fcinfo).isnull = (*relay.call).isnull;
                    end(relay.before, relay.at_work);
                    result
                }
            }
        };
    };
}

// A trigger of a table of the store: runs the trigger function that its argument names, as the owner of the table.
relay!(iot_kpi_as_owner, |call| {
    let trigger = Trigger::of(call);
    if is_quiet() {
        return Relay::none();
    }
    Relay::to(trigger.work(own_schema(call)), call)
        .at_work()
        .as_role(Some(trigger.owner()))
});

// Runs `NAME_work` with the caller's rights; the triggers of what it writes stand aside.
relay!(iot_kpi_quietly, |call| Relay::to(work_of(call), call).at_work());

// Runs `NAME_work` as the owner of the store where one of the functions above calls, otherwise with the caller's rights.
relay!(iot_kpi_for_our_own, |call| {
    let relay = Relay::to(work_of(call), call);
    match our_caller() {
        Some(_) => relay.at_work().as_role(store_owner()),
        None => relay,
    }
});

// Runs `NAME_work` with the rights of whom the function of ours works for that calls it.
relay!(iot_kpi_as_caller, |call| {
    let relay = Relay::to(work_of(call), call);
    if let Some(ours) = our_caller() {
        ours.caller.set();
    }
    relay
});

// Whether the statement whose trigger asks is one that triggers leave alone.
sql_function!(iot_kpi_quiet, |_call| Ok(Some(Datum::from(is_quiet()))));

fn innermost() -> Option<Work> {
    AT_WORK.with_borrow(|all| all.last().copied())
}

/// The function of ours that called; none where anything else did.
fn our_caller() -> Option<Work> {
    innermost().filter(|outer| outer.trigger_depth == trigger_depth())
}

fn is_quiet() -> bool {
    innermost().is_some_and(|outer| outer.trigger_depth + 1 == trigger_depth())
}

fn trigger_depth() -> c_int {
    // SAFETY: it looks at none of its arguments.
    let depth = unsafe { pg_sys::pg_trigger_depth(std::ptr::null_mut()) };
    depth.value() as c_int
}

/// The call of the function that does the work. It owns nothing: an error of PostgreSQL jumps over it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Relay {
    work: pg_sys::PGFunction,
    call: pg_sys::FunctionCallInfo,
    /// Who is to be whose rights hold again, and how many of ours run, when it is over.
    before: Role,
    at_work: usize,
}

impl Relay {
    /// Nothing is called.
    fn none() -> Self {
        Self {
            work: None,
            call: std::ptr::null_mut(),
            before: Role::current(),
            at_work: AT_WORK.with_borrow(Vec::len),
        }
    }

    /// A function is called as this one was: with its arguments, or for its trigger.
    fn to(function: Oid, call: &Call) -> Self {
        // SAFETY: what is passed on is what PostgreSQL passed here; the function has the same arguments.
        unsafe {
            let caller = &*call.fcinfo();
            let arguments = caller.nargs as usize;
            let size = size_of::<pg_sys::FunctionCallInfoBaseData>() + arguments * size_of::<pg_sys::NullableDatum>();
            let callee = pg_sys::palloc0(size).cast::<pg_sys::FunctionCallInfoBaseData>();
            let found = pg_sys::palloc0(size_of::<pg_sys::FmgrInfo>()).cast::<pg_sys::FmgrInfo>();
            pg_sys::fmgr_info(function, found);
            (*callee).flinfo = found;
            (*callee).context = caller.context;
            (*callee).fncollation = caller.fncollation;
            (*callee).nargs = caller.nargs;
            let (from, to) = (caller.args.as_ptr(), (&raw mut (*callee).args).cast());
            std::ptr::copy_nonoverlapping(from, to, arguments);
            Self {
                work: (*found).fn_addr,
                call: callee,
                ..Self::none()
            }
        }
    }

    /// It is one of ours that runs.
    fn at_work(self) -> Self {
        let work = Work {
            trigger_depth: trigger_depth(),
            // SAFETY: it reads where the transaction stands.
            transaction_depth: unsafe { pg_sys::GetCurrentTransactionNestLevel() },
            caller: self.before,
        };
        AT_WORK.with_borrow_mut(|all| all.push(work));
        self
    }

    /// With the rights of a role, as SECURITY DEFINER has it: no SET ROLE meanwhile.
    fn as_role(self, id: Option<Oid>) -> Self {
        let change = pg_sys::SECURITY_LOCAL_USERID_CHANGE.cast_signed();
        if let Some(id) = id {
            let context = self.before.context | change;
            Role { id, context }.set();
        }
        self
    }
}

/// After the call, unless an error ended it.
#[pg_guard]
extern "C-unwind" fn end(before: Role, at_work: usize) {
    before.set();
    AT_WORK.with_borrow_mut(|all| all.truncate(at_work));
}

impl Role {
    fn current() -> Self {
        let mut role = Self {
            id: pg_sys::InvalidOid,
            context: 0,
        };
        // SAFETY: both are there to be written.
        unsafe { pg_sys::GetUserIdAndSecContext(&mut role.id, &mut role.context) };
        role
    }

    fn set(self) {
        // SAFETY: a role that was current, or owns a table; an abort of the transaction sets back what was before it.
        unsafe { pg_sys::SetUserIdAndSecContext(self.id, self.context) };
    }
}

/// Has PostgreSQL tell of the end of transactions; once a process.
pub(crate) fn attend_to_errors() {
    // SAFETY: both functions stay as long as the library, which is never unloaded.
    unsafe {
        pg_sys::RegisterXactCallback(Some(transaction_ends), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(subtransaction_ends), std::ptr::null_mut());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn transaction_ends(_event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    AT_WORK.with_borrow_mut(Vec::clear);
}

#[pg_guard]
unsafe extern "C-unwind" fn subtransaction_ends(
    event: pg_sys::SubXactEvent::Type,
    _ended: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        // SAFETY: it reads where the transaction stands: in the one that ends.
        let depth = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
        AT_WORK.with_borrow_mut(|all| all.retain(|work| work.transaction_depth < depth));
    }
}

/// A trigger that fires.
struct Trigger<'a> {
    data: &'a pg_sys::TriggerData,
}

impl Trigger<'_> {
    /// The trigger that called; it must be one on a table of the store, since it is given the owner's rights.
    fn of(call: &Call) -> Self {
        // SAFETY: the context is a trigger's data where it has its tag, valid as long as the call is in progress.
        let data = unsafe {
            let context = (*call.fcinfo()).context;
            if context.is_null() || !is_a(context, pg_sys::NodeTag::T_TriggerData) {
                refuse(
                    PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                    "iot_kpi.as_owner() is a trigger function",
                    "SELECT iot_kpi.create_store() puts the triggers of the store in place.",
                );
            }
            &*context.cast::<pg_sys::TriggerData>()
        };
        let trigger = Self { data };
        if trigger.schema() != c"iot" {
            refuse(
                PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
                "iot_kpi.as_owner() is for the tables of the store",
                "On a table of your own use a trigger function of your own.",
            );
        }
        trigger
    }

    fn table(&self) -> &pg_sys::FormData_pg_class {
        // SAFETY: an open relation has its row of pg_class.
        unsafe { &*(*self.data.tg_relation).rd_rel }
    }

    fn owner(&self) -> Oid {
        self.table().relowner
    }

    fn schema(&self) -> &CStr {
        // SAFETY: PostgreSQL gives a copy, or none where the schema is gone, which it cannot be while its table is open.
        unsafe {
            let name = pg_sys::get_namespace_name(self.table().relnamespace);
            if name.is_null() { c"" } else { CStr::from_ptr(name) }
        }
    }

    /// The trigger function that does the work.
    fn work(&self, schema: Oid) -> Oid {
        // SAFETY: a trigger that fires is valid, and has as many arguments as it says.
        let name = unsafe {
            let trigger = &*self.data.tg_trigger;
            (trigger.tgnargs == 1).then(|| CStr::from_ptr(*trigger.tgargs))
        };
        // SAFETY: a vector of none.
        let arguments = Datum::from(unsafe { pg_sys::buildoidvector(std::ptr::null(), 0) });
        named(name.unwrap_or(c""), arguments, schema)
    }
}

/// The schema of the function that is called: that of the extension.
fn own_schema(call: &Call) -> Oid {
    // SAFETY: a function that PostgreSQL calls has an entry in pg_proc.
    unsafe { pg_sys::get_func_namespace((*(*call.fcinfo()).flinfo).fn_oid) }
}

/// The function that does the work of the one that is called.
fn work_of(call: &Call) -> Oid {
    // SAFETY: a function that PostgreSQL calls has an entry in pg_proc; the name is copied, and the arguments' types are used,
    // before it is released.
    unsafe {
        let function = (*(*call.fcinfo()).flinfo).fn_oid;
        let entry = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as c_int, Datum::from(function));
        let row = &*pg_sys::GETSTRUCT(entry).cast::<pg_sys::FormData_pg_proc>();
        let own = CStr::from_ptr(row.proname.data.as_ptr()).to_string_lossy();
        let name = CString::new(format!("{own}{WORK_OF}")).unwrap_or_default();
        let arguments = Datum::from(std::ptr::from_ref(&row.proargtypes).cast_mut());
        let work = named(&name, arguments, row.pronamespace);
        pg_sys::ReleaseSysCache(entry);
        work
    }
}

/// The function of a name, with these arguments' types, in a schema.
fn named(name: &CStr, arguments: Datum, schema: Oid) -> Oid {
    // SAFETY: the keys are of the types that this cache has: name, oidvector, oid.
    let found = unsafe {
        pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as c_int,
            pg_sys::Anum_pg_proc_oid as pg_sys::AttrNumber,
            Datum::from(name.as_ptr()),
            arguments,
            Datum::from(schema),
            Datum::from(0),
        )
    };
    if found == pg_sys::InvalidOid {
        refuse(
            PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
            format!("function {} of pg_iot_kpi is not there", name.to_string_lossy()),
            "ALTER EXTENSION pg_iot_kpi UPDATE; SELECT iot_kpi.create_store();",
        );
    }
    found
}

/// Who owns the store; none where there is no store.
fn store_owner() -> Option<Oid> {
    // SAFETY: catalog look-ups; the row is read before it is released.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"iot".as_ptr(), true);
        let table = pg_sys::get_relname_relid(c"device_metrics".as_ptr(), schema);
        let entry = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as c_int, Datum::from(table));
        if entry.is_null() {
            return None;
        }
        let owner = (*pg_sys::GETSTRUCT(entry).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(entry);
        Some(owner)
    }
}
