// SPDX-License-Identifier: GPL-2.0-or-later
// Lists: which columns they show, chosen by mouse and by keys, and what stays of it.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { checkAccessibility, checkNothingWrong, go, makeAdmin, openBrowser, openPage, picture, signIn } from './browser.mjs';
import { Cellad } from './cellad.mjs';
import { rest, writeKernel } from './kernel.mjs';

let cellad, browser, who;

before(async () => {
	cellad = await Cellad.start();
	browser = await openBrowser();
	who = await makeAdmin(cellad);
	await cellad.create('vms', 'web1', { memory: 2 ** 26 }, { labels: { tier: 'web' }, notes: 'the front' });
	await cellad.create('vms', 'db1', { memory: 2 ** 27, autostart: true }, { notes: 'ask Anna first' });
	await cellad.create('disks', 'data', { size: 2 ** 30 });
	await cellad.create('networks', 'own', { type: 'user' });
});

after(async () => {
	await browser?.close();
	await cellad?.stop();
});

async function open(place, options) {
	const page = await openPage(browser, options);
	await signIn(page, cellad, who);
	await go(page, place);
	await page.getByRole('table').waitFor();
	return page;
}

const heads = (page) => page.getByRole('columnheader').allInnerTexts().then((all) => all.map((text) => text.trim()).filter((text) => text && text !== 'Actions'));
const head = (page, name) => page.getByRole('columnheader', { name, exact: true });
const box = (page, name) => page.getByRole('menuitemcheckbox', { name, exact: true });

test('columns are chosen, stay chosen, and go back to what is preset', async () => {
	const page = await open('#/vms');
	const preset = await heads(page);
	assert.ok(preset.includes('Memory') && !preset.includes('Notes'), preset.join());
	await page.getByRole('button', { name: 'Columns' }).click();
	assert.equal(await box(page, 'Memory').getAttribute('aria-checked'), 'true');
	assert.equal(await box(page, 'Notes').getAttribute('aria-checked'), 'false');
	assert.equal(await box(page, 'Name').count(), 0, 'the name is always there');
	await checkAccessibility(page, 'the choice of columns');
	await box(page, 'Memory').click();
	await head(page, 'Memory').waitFor({ state: 'detached' });
	// The menu stays open for more.
	await box(page, 'Notes').click();
	await box(page, 'Starts with the host').click();
	await page.keyboard.press('Escape');
	await page.getByRole('row', { name: /db1/ }).getByText('ask Anna first').waitFor();
	await checkAccessibility(page, 'columns that were chosen');

	await page.reload();
	await head(page, 'Notes').waitFor();
	assert.equal(await head(page, 'Memory').count(), 0);
	// Another list has its own.
	await go(page, '#/disks');
	await page.getByRole('row', { name: /data/ }).waitFor();
	assert.equal(await head(page, 'Notes').count(), 0);

	await go(page, '#/vms');
	await page.getByRole('button', { name: 'Columns' }).click();
	await page.getByRole('menuitem', { name: 'As preset' }).click();
	await head(page, 'Memory').waitFor();
	assert.deepEqual(await heads(page), preset);
	assert.equal(await page.getByRole('menuitem', { name: 'As preset' }).getAttribute('aria-disabled'), 'true');
	await page.reload();
	await head(page, 'Memory').waitFor();
	assert.deepEqual(await heads(page), preset);
	await checkNothingWrong(page, 'columns');
	await page.context().close();
});

test('columns are chosen by keys alone', async () => {
	const page = await open('#/networks');
	await page.getByRole('button', { name: 'Columns' }).focus();
	await page.keyboard.press('Enter');
	await page.getByRole('menuitemcheckbox').first().and(page.locator(':focus')).waitFor();
	await page.keyboard.press('m');
	await box(page, 'MTU').and(page.locator(':focus')).waitFor();
	await page.keyboard.press('Enter');
	await head(page, 'MTU').waitFor();
	await box(page, 'MTU').and(page.locator(':focus')).waitFor(); // it stays where it was
	await page.keyboard.press('Escape');
	await page.getByRole('button', { name: 'Columns' }).and(page.locator(':focus')).waitFor();
	await checkNothingWrong(page, 'columns by keys');
	await page.context().close();
});

test('an order that goes with its column is the first one again', async () => {
	const page = await open('#/vms');
	const first = () => page.locator('tbody tr').first();
	await head(page, 'Memory').getByRole('button').click();
	await head(page, 'Memory').getByRole('button').click();
	await first().filter({ hasText: 'db1' }).waitFor();
	await head(page, 'Name').getByRole('button').click();
	await head(page, 'Memory').getByRole('button').click();
	await first().filter({ hasText: 'web1' }).waitFor();
	await page.getByRole('button', { name: 'Columns' }).click();
	await box(page, 'Memory').click();
	await first().filter({ hasText: 'db1' }).waitFor();
	await page.waitForFunction(() => !location.href.includes('sort='));
	await page.context().close();
});

test('on a phone there are fewer columns, until they are asked for', async () => {
	const page = await open('#/vms', { viewport: { width: 390, height: 844 }, hasTouch: true });
	const card = page.getByRole('row', { name: /web1/ });
	assert.equal(await card.getByText('tier=web').count(), 0);
	await page.getByRole('button', { name: 'Columns' }).click();
	assert.equal(await box(page, 'Labels').getAttribute('aria-checked'), 'false');
	await checkAccessibility(page, 'the choice of columns on a phone');
	await checkNothingWrong(page, 'the choice of columns on a phone');
	for (const name of ['Labels', 'Notes', 'Created', 'Host']) await box(page, name).click();
	await page.keyboard.press('Escape');
	await card.getByText('tier=web').waitFor();
	await card.getByText('the front').waitFor();
	await checkAccessibility(page, 'columns on a phone');
	await checkNothingWrong(page, 'columns on a phone');
	await page.context().close();
});

test('what VMs take of the host is a column, with values that come by themselves', async () => {
	const kernel = await writeKernel(join(cellad.data, 'kernel.elf'), rest);
	await cellad.create('vms', 'busy', { memory: 2 ** 26, engine: 'soft', boot: { kernel }, running: true });
	const page = await open('#/vms');
	await page.getByRole('button', { name: 'Columns' }).click();
	for (const name of ['CPU use', 'Memory use', 'Up for']) await box(page, name).click();
	await page.keyboard.press('Escape');
	const row = page.getByRole('row', { name: /busy/ });
	await row.getByText(/^\d[\d.]* %$/).waitFor();
	await row.getByText(/^\d[\d.]* [KMG]iB$/).nth(1).waitFor();
	await head(page, 'CPU use').getByRole('button').click();
	await page.locator('tbody tr').last().filter({ hasText: 'busy' }).waitFor();
	await checkNothingWrong(page, 'what VMs take');
	await page.context().close();
});

test('operations are searched, ordered and shown as a list', async () => {
	await cellad.create('disks', 'other', { size: 2 ** 20 });
	const page = await open('#/operations');
	const row = page.getByRole('row', { name: /Create disk data/ });
	await row.getByText('Done').waitFor();
	await row.getByRole('link', { name: 'Create disk data' }).waitFor();
	await page.getByLabel('Search Operations').fill('data root');
	await page.getByRole('row', { name: /Create disk other/ }).waitFor({ state: 'detached' });
	await page.getByRole('button', { name: 'Columns' }).click();
	await box(page, 'Project').click();
	await page.keyboard.press('Escape');
	await row.getByText('default', { exact: true }).waitFor();
	await checkAccessibility(page, 'the list of operations');
	await row.getByRole('link', { name: 'Create disk data' }).click();
	await page.getByRole('heading', { level: 1, name: 'data', exact: true }).waitFor();
	await checkNothingWrong(page, 'the list of operations');
	await page.context().close();
});

test('the audit has columns, filters that stay in the address, and what was changed', async () => {
	await cellad.api('PATCH', '/v1/projects/default/networks/own', { labels: { by: 'root' } });
	const page = await open('#/audit');
	const row = page.getByRole('row', { name: /Changed network own/ });
	await row.locator('summary', { hasText: 'labels.by' }).click();
	await row.getByText('"root"').waitFor();
	await page.getByRole('button', { name: 'Columns' }).click();
	await box(page, 'UID').click();
	await box(page, 'From').click();
	await page.keyboard.press('Escape');
	await head(page, 'UID').waitFor();
	await head(page, 'From').waitFor({ state: 'detached' });
	await page.getByLabel('Action').selectOption('create');
	await row.waitFor({ state: 'detached' });
	await page.getByRole('searchbox', { name: 'Object' }).fill('data');
	await page.keyboard.press('Enter');
	await page.getByRole('row', { name: /Created network own/ }).waitFor({ state: 'detached' });
	await page.reload();
	await page.getByRole('row', { name: /Created disk data/ }).waitFor();
	assert.equal(await page.getByRole('row', { name: /Created network own/ }).count(), 0);
	await head(page, 'UID').waitFor();
	await checkAccessibility(page, 'the audit');
	await checkNothingWrong(page, 'the audit');
	await page.context().close();
});

// Name, processors, MiB, image, tier, environment, whether it runs.
const DOZEN = [
	['backup', 1, 512, 'debian-12', 'ops', 'prod', true],
	['build-runner', 4, 1024, 'debian-13', 'ci', 'test', true],
	['database-1', 2, 1024, 'debian-12', 'db', 'prod', true],
	['database-2', 2, 1024, 'debian-12', 'db', 'prod', true],
	['dns', 1, 256, 'debian-12', 'ops', 'prod', true],
	['git', 2, 512, 'debian-12', 'ops', 'prod', true],
	['mail', 1, 512, 'debian-12', 'mail', 'prod', true],
	['monitor', 1, 512, 'debian-13', 'ops', 'prod', true],
	['staging', 1, 512, 'debian-13', 'web', 'test', false],
	['web-1', 1, 512, 'debian-12', 'web', 'prod', true],
	['web-2', 1, 512, 'debian-12', 'web', 'prod', true],
	['wiki', 1, 256, 'debian-13', 'web', 'archive', false],
];

test('a dozen VMs with what they take fit into a window', async () => {
	const file = join(cellad.data, 'disk.raw');
	const kernel = await writeKernel(join(cellad.data, 'kernel.elf'), rest);
	await writeFile(file, Buffer.alloc(1 << 20, 1));
	for (const one of await cellad.list('vms')) await cellad.removeVm(one);
	for (const name of ['debian-12', 'debian-13']) await cellad.create('images', name, { file, format: 'raw' });
	for (const [name, cpus, mib, image, tier, env, running] of DOZEN)
		await cellad.create('vms', name, { cpus, memory: mib * 2 ** 20, image, engine: 'soft', boot: { kernel }, running }, { labels: { tier, env } });
	const page = await open('#/vms');
	await page.getByRole('button', { name: 'Columns' }).click();
	for (const name of ['Address', 'Started', 'CPU use', 'Memory use']) await box(page, name).click();
	await page.keyboard.press('Escape');
	await page.getByText('12 VMs', { exact: true }).waitFor();
	for (const [name, , , , , , running] of DOZEN)
		if (running) await page.getByRole('row', { name: new RegExp(name) }).getByText(/^\d[\d.]* %$/).waitFor();
	const over = await page.locator('.table-box').evaluate((box) => box.scrollWidth - box.clientWidth);
	assert.ok(over <= 0, `the table is ${over} pixels too wide`);
	// The menu of the first row and that of the last one can be used: nothing covers them or cuts them off.
	for (const name of ['backup', 'wiki']) {
		await page.getByRole('button', { name: `Actions of ${name}` }).click();
		await page.getByRole('menuitem', { name: 'Edit' }).click({ trial: true });
		await page.keyboard.press('Escape');
	}
	await page.locator('.main').focus();
	await page.mouse.move(0, 0);
	await picture(page, 'vms');
	await checkNothingWrong(page, 'a dozen VMs');
	await page.context().close();
});
