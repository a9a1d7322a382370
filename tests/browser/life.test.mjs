// SPDX-License-Identifier: GPL-2.0-or-later
// The life of a VM by mouse and keyboard, and what others see of it while it happens.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { checkAccessibility, checkNothingWrong, go, makeAdmin, openBrowser, openPage, PATIENCE, signIn } from './browser.mjs';
import { Cellad } from './cellad.mjs';
import { GREETING, writeKernel } from './kernel.mjs';

let cellad, browser, who, kernel;

before(async () => {
	cellad = await Cellad.start();
	browser = await openBrowser();
	who = await makeAdmin(cellad);
	kernel = await writeKernel(join(cellad.data, 'kernel.elf'));
});

after(async () => {
	await browser?.close();
	await cellad?.stop();
});

const rows = (page) => page.locator('.xterm-rows');

test('a one-time link signs in once', async () => {
	const page = await openPage(browser);
	await page.goto(cellad.link);
	await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
	assert.ok(!page.url().includes(cellad.link.split(/[/=]/).at(-1)), 'the link does not stay in the address');
	await page.getByRole('button', { name: 'Account of root' }).click();
	await page.getByRole('menuitem', { name: 'Sign out' }).click();
	await page.getByLabel('Password').waitFor();
	await page.goto('about:blank');
	await page.goto(cellad.link);
	await page.getByRole('alert').waitFor();
	await checkNothingWrong(page, 'sign-in by link');
	await page.context().close();
});

test('a VM is created, typed into, and deleted; another browser sees it live', async () => {
	const page = await openPage(browser);
	const other = await openPage(browser);
	// Only root may name files of the host, such as a kernel.
	await page.goto(await cellad.newLink('root'));
	await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
	await signIn(other, cellad, who);
	await go(other, '#/vms');
	await other.getByRole('heading', { name: 'No VMs yet' }).waitFor();

	await go(page, '#/vms');
	await page.getByRole('link', { name: 'Create VM' }).first().click();
	await page.getByRole('heading', { level: 1, name: 'New VM' }).waitFor();
	await page.getByLabel('CPUs', { exact: true }).fill('1');
	await page.getByLabel('Memory', { exact: true }).fill('64 MiB');
	await page.getByRole('group', { name: 'Network', exact: true }).getByText('None', { exact: true }).click();
	await page.locator('input[name=name]').fill('hello');
	const settings = page.locator('details', { hasText: 'All other settings' });
	if (!(await settings.getAttribute('open').then((value) => value !== null))) await settings.locator('summary').click();
	// It runs nowhere else than where the tests do: by software, wherever that is.
	await page.getByLabel('Engine', { exact: true }).selectOption('soft');
	await page.getByLabel('Kernel').fill(kernel);
	await page.getByRole('button', { name: 'Create VM' }).click();
	await page.getByRole('heading', { level: 1, name: 'hello', exact: true }).waitFor();

	const row = other.getByRole('row', { name: /hello/ });
	await row.getByText('Running').waitFor();
	await page.locator('.title').getByText('Running').waitFor();

	await page.getByRole('link', { name: 'Console', exact: true }).first().click();
	await rows(page).getByText(GREETING).waitFor();
	await page.locator('.xterm-helper-textarea').focus();
	await page.keyboard.type('is anybody there');
	await rows(page).getByText('is anybody there').waitFor();
	await checkAccessibility(page, 'the console');

	await page.getByRole('button', { name: 'Log', exact: true }).click();
	await page.getByRole('dialog').getByText(GREETING).waitFor();
	await checkAccessibility(page, 'the log');
	await page.keyboard.press('Escape');

	// Pausing by the menu, with keys alone.
	await page.getByRole('button', { name: 'More actions of hello' }).focus();
	await page.keyboard.press('ArrowDown');
	await page.getByRole('menuitem', { name: 'Pause' }).and(page.locator(':focus')).waitFor();
	await page.keyboard.press('Enter');
	await row.getByText('Paused').waitFor();
	await page.getByRole('button', { name: 'Resume' }).click();
	await row.getByText('Running').waitFor();

	await page.getByRole('button', { name: 'More actions of hello' }).click();
	await page.getByRole('menuitem', { name: 'Force off' }).click();
	await page.getByRole('dialog').getByRole('button', { name: 'Force off' }).click();
	await row.getByText('Stopped').waitFor();

	await page.getByRole('button', { name: 'More actions of hello' }).click();
	await page.getByRole('menuitem', { name: 'Delete' }).click();
	await checkAccessibility(page, 'the question before a deletion');
	await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
	await other.getByRole('heading', { name: 'No VMs yet' }).waitFor();
	assert.deepEqual(await cellad.list('vms'), []);
	await checkNothingWrong(page, 'the life of a VM');
	await checkNothingWrong(other, 'a list that others change');
	await page.context().close();
	await other.context().close();
});

test('several VMs are searched, started and stopped together', async () => {
	for (const [name, tier] of [
		['web1', 'web'],
		['web2', 'web'],
		['db1', 'db'],
	])
		await cellad.create('vms', name, { memory: 2 ** 26, engine: 'soft', boot: { kernel } }, { labels: { tier } });
	const page = await openPage(browser);
	await signIn(page, cellad, who);
	await go(page, '#/vms');
	await page.getByRole('row', { name: /db1/ }).waitFor();
	await page.getByLabel('Search VMs').fill('tier=web');
	await page.getByRole('row', { name: /db1/ }).waitFor({ state: 'detached' });
	await page.waitForFunction(() => location.hash.includes('q=tier'));
	await page.getByLabel('Choose all').check();
	await page.getByRole('region', { name: 'Chosen ones' }).getByRole('button', { name: 'Start', exact: true }).click();
	for (const name of ['web1', 'web2']) await page.getByRole('row', { name: new RegExp(name) }).getByText('Running').waitFor({ timeout: 2 * PATIENCE });
	await page.getByLabel('Search VMs').fill('');
	await page.getByRole('row', { name: /db1/ }).getByText('Stopped').waitFor();

	// Graphs of the host and of a VM have values by now, or will have some.
	await page.getByRole('link', { name: 'web1', exact: true }).click();
	await page.getByRole('img', { name: /^Memory: / }).waitFor();
	for (const name of ['web1', 'web2']) await cellad.api('POST', `/v1/projects/default/vms/${name}/actions/stop?wait=4m`, { force: true });
	await page.locator('.title').getByText('Stopped').waitFor();
	await checkNothingWrong(page, 'several VMs');
	await page.context().close();
});

test('a broken connection is told, and made up for', async () => {
	const page = await openPage(browser);
	await signIn(page, cellad, who);
	await go(page, '#/networks');
	await page.getByRole('heading', { level: 1, name: 'Networks' }).waitFor();
	await cellad.kill();
	await page.getByText('Reconnecting').waitFor();
	await cellad.run(new URL(cellad.address).host);
	await cellad.create('networks', 'meanwhile', { type: 'user' });
	await page.getByRole('row', { name: /meanwhile/ }).waitFor({ timeout: 2 * PATIENCE });
	await page.getByText('Reconnecting').waitFor({ state: 'detached' });
	assert.deepEqual(
		page.wrong.filter((text) => !/ERR_CONNECTION|net::/.test(text)),
		[],
	);
	await page.context().close();
});
