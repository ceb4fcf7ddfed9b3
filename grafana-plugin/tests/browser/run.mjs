// The built bundle's editors in Chromium: clicked through by keyboard and mouse, pictures into dist/.browser/. Prints TAP.
// CHROMIUM names the browser; by default chromium, chromium-browser or google-chrome in PATH.
import { spawnSync } from 'child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'fs';
import { createServer } from 'http';
import { dirname, join, normalize } from 'path';
import { fileURLToPath } from 'url';
import { chromium } from 'playwright-core';

const dist = join(dirname(fileURLToPath(import.meta.url)), '../../dist');
const folder = join(dist, '.browser');
const found = ['chromium', 'chromium-browser', 'google-chrome'].map((name) => spawnSync('which', [name]).stdout.toString().trim());
const browser_path = process.env.CHROMIUM || found.find(Boolean);
if (!browser_path || !existsSync(join(dist, 'module.js'))) {
  console.error(browser_path ? 'error: dist/module.js is missing\nremedy: npm run build' : 'error: no Chromium\nremedy: apt-get install chromium, or CHROMIUM=path');
  process.exit(1);
}
mkdirSync(folder, { recursive: true });
copyFileSync(join(dist, '../node_modules/monaco-editor/min/vs/editor/editor.main.css'), join(folder, 'editor.css'));
const head = '<title>editors</title><link rel="stylesheet" href="editor.css">';
writeFileSync(join(folder, 'index.html'), `<!doctype html><html lang="en">${head}<div id="root"></div><script src="page.js"></script></html>`);

const types = { html: 'text/html', js: 'text/javascript', css: 'text/css' };
const server = createServer((request, response) => {
  const path = join(dist, normalize(new URL(request.url, 'http://x').pathname));
  const known = path.startsWith(dist) && existsSync(path);
  response.writeHead(known ? 200 : 404, { 'Content-Type': types[path.split('.').pop()] ?? 'application/octet-stream' });
  response.end(known ? readFileSync(path) : '');
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const home = `http://127.0.0.1:${server.address().port}/.browser/index.html`;
// Nothing of its own over the network: the pages are here.
const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath: browser_path, args: ['--no-sandbox', ...quiet] });

let number = 0;
let failed = 0;
async function test(name, { query, width = 1000, height = 700 }, check) {
  const page = await browser.newPage({ viewport: { width, height } });
  page.setDefaultTimeout(10_000);
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  number += 1;
  try {
    await page.goto(`${home}?${new URLSearchParams(query)}`);
    await check(page);
    await page.screenshot({ path: join(folder, `${name.replace(/[^a-z0-9]+/gi, '-')}.png`) });
    if (problems.length > 0) {
      throw new Error(problems.join('; '));
    }
    console.log(`ok ${number} - ${name}`);
  } catch (error) {
    failed += 1;
    await page.screenshot({ path: join(folder, `failed-${number}.png`) });
    console.log(`not ok ${number} - ${name}\n# ${String(error.message).split('\n').join('\n# ')}`);
  }
  await page.close();
}
const last = (page) => page.evaluate(() => globalThis.last);
function expect(condition, what) {
  if (!condition) {
    throw new Error(what);
  }
}
/** Never more than one screen, and nothing sticks out. */
async function fits(page, height) {
  const size = await page.evaluate(() => {
    const lowest = [...document.querySelectorAll('#root *')].map((element) => element.getBoundingClientRect().bottom);
    return [document.documentElement.scrollWidth - window.innerWidth, Math.max(...lowest)];
  });
  expect(size[0] <= 0, `${size[0]} px too wide`);
  expect(size[1] <= height, `${size[1]} px high`);
}

const TYPES = ['kpi_series', 'fleet_kpis', 'device_kpis', 'status_timeline', 'outages', 'metric_series', 'slo_report', 'anomalies'];
for (const type of TYPES) {
  await test(`query ${type}`, { query: { editor: 'query', type } }, async (page) => {
    await page.getByLabel('Show', { exact: true }).waitFor();
    await page.getByLabel('Devices', { exact: true }).waitFor();
    await fits(page, 500);
  });
}
await test('query kpi_series light and narrow', { query: { editor: 'query', type: 'kpi_series', theme: 'light' }, width: 390, height: 844 }, async (page) => {
  await page.getByLabel('KPI', { exact: true }).waitFor();
  await fits(page, 844);
});
await test('another type by mouse', { query: { editor: 'query', type: 'kpi_series' } }, async (page) => {
  await page.getByLabel('Show', { exact: true }).click();
  await page.getByRole('option', { name: /Outages/ }).click();
  await page.getByLabel('At least').waitFor();
  expect((await last(page)).queryType === 'outages', 'the query is one of outages');
});
await test('another KPI by keyboard', { query: { editor: 'query', type: 'kpi_series' } }, async (page) => {
  await page.getByLabel('KPI', { exact: true }).focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.type('Apdex');
  await page.getByRole('option', { name: /^Apdex/ }).first().waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => globalThis.last?.kpi === 'apdex');
});
await test('SQL is completed and kept', { query: { editor: 'query', type: 'sql' } }, async (page) => {
  await page.locator('.monaco-editor .view-lines').click();
  await page.keyboard.type('SELECT count(*) FROM iot.device_metrics WHERE $__timeF');
  await page.locator('.suggest-widget').getByText('$__timeFilter(time)').waitFor();
  await page.keyboard.press('Enter');
  await page.keyboard.type(' AND dev');
  await page.keyboard.press('Control+Space');
  await page.locator('.suggest-widget').getByText('device_id').first().waitFor();
  await page.keyboard.press('Escape');
  // Left, by keyboard too, it is kept.
  await page.keyboard.press('Control+m');
  await page.keyboard.press('Tab');
  await page.waitForFunction(() => document.activeElement.type === 'radio');
  await page.getByRole('radio', { name: 'Time series' }).check();
  await page.waitForFunction(() => globalThis.last?.rawSql?.endsWith('WHERE $__timeFilter(time) AND dev'));
  await page.waitForFunction(() => globalThis.last?.format === 'time_series');
});
await test('the whole editor by keyboard alone', { query: { editor: 'query', type: 'fleet_kpis' } }, async (page) => {
  await page.getByLabel('Devices', { exact: true }).waitFor();
  const reached = new Set();
  for (let n = 0; n < 25; n += 1) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.id));
  }
  const fields = await page.$$eval('#root input:not([type=radio]):not([disabled])', (inputs) => inputs.map(({ id }) => id));
  const missed = fields.filter((id) => !reached.has(id));
  expect(fields.length >= 7 && missed.length === 0, `${missed.length} of ${fields.length} fields cannot be reached`);
  await page.getByLabel(/^Live/).focus();
  await page.keyboard.press('Space');
  await page.waitForFunction(() => globalThis.last?.live === true);
});
await test('a device is chosen', { query: { editor: 'query', type: 'device_kpis' } }, async (page) => {
  await page.getByLabel('Devices', { exact: true }).click();
  await page.getByRole('option', { name: /TEMP_001/ }).click();
  await page.waitForFunction(() => globalThis.last?.devices?.includes('TEMP_001'));
});
await test('variable', { query: { editor: 'variable' } }, async (page) => {
  await page.getByLabel('Offer').waitFor();
  await fits(page, 300);
});
for (const theme of ['dark', 'light']) {
  await test(`config ${theme}`, { query: { editor: 'config', theme }, height: 1700 }, async (page) => {
    await page.getByLabel('Host').fill('db.example.org');
    await page.getByLabel('Password').fill('secret');
    expect((await last(page)).jsonData.host === 'db.example.org', 'the host is kept');
    expect((await last(page)).secureJsonData.password === 'secret', 'the password is a secret');
  });
}
await browser.close();
server.close();
console.log(`1..${number}`);
process.exit(failed > 0 ? 1 : 0);
