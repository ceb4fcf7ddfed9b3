-- The members of the extension, by name: everything that is not an oid of this database. A kind without a definition here is
-- an error, so that none goes uncompared.
WITH extension AS (
    SELECT e.* FROM pg_extension e WHERE e.extname = 'pg_iot_kpi'
), members AS (
    SELECT d.classid, d.objid, pg_identify_object(d.classid, d.objid, 0) AS name,
           obj_description(d.objid, d.classid::regclass::text) AS comment
    FROM pg_depend d JOIN extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
)
SELECT (m.name).type || ' ' || (m.name).identity AS object,
       CASE m.classid
           WHEN 'pg_proc'::regclass THEN (
               SELECT jsonb_strip_nulls(jsonb_build_object(
                   'kind', p.prokind, 'arguments', pg_get_function_arguments(p.oid), 'result', pg_get_function_result(p.oid),
                   'language', l.lanname, 'volatile', p.provolatile, 'parallel', p.proparallel, 'strict', p.proisstrict,
                   'leakproof', p.proleakproof, 'definer', p.prosecdef, 'cost', p.procost, 'rows', p.prorows,
                   'support', nullif(p.prosupport, 0)::regproc, 'settings', p.proconfig, 'rights', p.proacl::text[],
                   'source', p.prosrc, 'body', pg_get_function_sqlbody(p.oid), 'library', p.probin, 'aggregate', (
                       SELECT jsonb_build_array(a.aggkind, a.aggtransfn::regproc, a.aggfinalfn::regproc, a.aggcombinefn::regproc,
                                  a.aggserialfn::regproc, a.aggdeserialfn::regproc, a.aggmtransfn::regproc, a.aggminvtransfn::regproc,
                                  a.aggmfinalfn::regproc, a.aggfinalextra, a.aggfinalmodify, a.aggsortop::regoperator,
                                  a.aggtranstype::regtype, a.aggtransspace, a.agginitval)
                       FROM pg_aggregate a WHERE a.aggfnoid = p.oid)))::text
               FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = m.objid)
           WHEN 'pg_type'::regclass THEN (
               SELECT jsonb_strip_nulls(jsonb_build_object(
                   'type', t.typtype, 'length', t.typlen, 'by value', t.typbyval, 'category', t.typcategory, 'preferred', t.typispreferred,
                   'delimiter', t.typdelim, 'in', t.typinput::regproc, 'out', t.typoutput::regproc, 'receive', t.typreceive::regproc,
                   'send', t.typsend::regproc, 'typmod in', t.typmodin::regproc, 'typmod out', t.typmodout::regproc,
                   'analyze', t.typanalyze::regproc, 'align', t.typalign, 'storage', t.typstorage, 'base', nullif(t.typbasetype, 0)::regtype,
                   'not null', t.typnotnull, 'default', t.typdefault, 'rights', t.typacl::text[], 'columns', (
                       SELECT jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
                       FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)))::text
               FROM pg_type t WHERE t.oid = m.objid)
           WHEN 'pg_class'::regclass THEN (
               SELECT jsonb_build_object('kind', c.relkind, 'view', pg_get_viewdef(c.oid), 'rights', c.relacl::text[])::text
               FROM pg_class c WHERE c.oid = m.objid AND c.relkind IN ('v', 'c'))
           WHEN 'pg_operator'::regclass THEN (
               SELECT jsonb_build_array(o.oprcode::regproc, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest::regproc,
                                        o.oprjoin::regproc, o.oprcanmerge, o.oprcanhash)::text
               FROM pg_operator o WHERE o.oid = m.objid)
           WHEN 'pg_cast'::regclass THEN (
               SELECT jsonb_build_array(c.castfunc::regprocedure, c.castcontext, c.castmethod)::text FROM pg_cast c WHERE c.oid = m.objid)
           WHEN 'pg_namespace'::regclass THEN (
               SELECT jsonb_build_array(n.nspacl::text[])::text FROM pg_namespace n WHERE n.oid = m.objid)
       END || coalesce(' -- ' || m.comment, '') || coalesce((
           -- Members of a schema depend on it, and so does what is made of functions and types.
           SELECT ' on ' || string_agg(DISTINCT (o.name).identity, ', ' ORDER BY (o.name).identity)
           FROM pg_depend d CROSS JOIN LATERAL (SELECT pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid) AS name) o
           WHERE d.classid = m.classid AND d.objid = m.objid AND d.deptype <> 'e'), '') AS definition
FROM members m
UNION ALL
SELECT 'extension', jsonb_build_object('version', e.extversion, 'schema', e.extnamespace::regnamespace, 'relocatable', e.extrelocatable,
                                       'dumped', e.extconfig::regclass[]::text[], 'comment', obj_description(e.oid, 'pg_extension'),
                                       'rights in schema', (SELECT n.nspacl::text[] FROM pg_namespace n WHERE n.oid = e.extnamespace))::text
FROM extension e
