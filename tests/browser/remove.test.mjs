// SPDX-License-Identifier: GPL-2.0-or-later
// What somebody is told before something is deleted: what goes along, what stays, and what stands in the way.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { checkAccessibility, checkNothingWrong, go, makeAdmin, openBrowser, openPage, signIn } from './browser.mjs';
import { Cellad } from './cellad.mjs';
import { rest, writeKernel } from './kernel.mjs';

let cellad, browser, page, kernel;

before(async () => {
	cellad = await Cellad.start();
	browser = await openBrowser();
	kernel = await writeKernel(join(cellad.data, 'kernel.elf'), rest);
	const file = join(cellad.data, 'disk.raw');
	await writeFile(file, Buffer.alloc(1 << 20, 1));
	await cellad.create('images', 'base', { file, format: 'raw' });
	page = await openPage(browser);
	await signIn(page, cellad, await makeAdmin(cellad));
});

after(async () => {
	await browser?.close();
	await cellad?.stop();
});

const makeVm = (name, spec = {}, more = {}) => cellad.create('vms', name, { memory: 2 ** 26, engine: 'soft', boot: { kernel }, ...spec }, more);
const there = async (plural) => (await cellad.list(plural)).map((one) => one.name).sort();

async function openQuestion(place, name) {
	await go(page, place);
	await page.getByRole('button', { name: new RegExp(`ctions of ${name}$`) }).click();
	await page.getByRole('menuitem', { name: 'Delete' }).click();
	const dialog = page.getByRole('dialog');
	await dialog.waitFor();
	return dialog;
}

test('a VM says which of its disks go along, and which stay', async () => {
	await cellad.create('disks', 'data', { size: 2 ** 30 });
	await makeVm('web1', { image: 'base', disks: [{ disk: 'data' }] });
	const disks = (await cellad.list('vms'))[0].spec.disks.map((one) => one.disk);
	assert.deepEqual(disks.sort(), ['data', 'web1']);
	const dialog = await openQuestion('#/vms/default/web1', 'web1');
	await dialog.locator('.fate', { hasText: 'Goes with it' }).getByText('disk web1').waitFor();
	await dialog.locator('.fate', { hasText: 'Stays' }).getByText('disk data').waitFor();
	// Enter alone deletes nothing.
	assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel');
	await checkAccessibility(page, 'what goes along');
	await dialog.getByRole('button', { name: 'Delete' }).click();
	await page.getByRole('heading', { level: 1, name: 'VMs' }).waitFor();
	await page.getByRole('heading', { name: 'No VMs yet' }).waitFor();
	await go(page, '#/disks');
	await page.getByRole('row', { name: /web1/ }).waitFor({ state: 'detached' });
	assert.deepEqual(await there('disks'), ['data']);
	await checkNothingWrong(page, 'a deletion');
});

test('a VM that runs is forced off first, and its name is typed before', async () => {
	await makeVm('busy', { running: true });
	await go(page, '#/vms/default/busy');
	await page.locator('.title').getByText('Running').waitFor();
	const dialog = await openQuestion('#/vms/default/busy', 'busy');
	await dialog.getByText('forced off first').waitFor();
	const button = dialog.getByRole('button', { name: 'Force off and delete' });
	assert.ok(await button.isDisabled());
	await dialog.getByLabel('Type busy to confirm').fill('busy');
	await button.click();
	await page.getByRole('heading', { name: 'No VMs yet' }).waitFor();
	assert.deepEqual(await there('vms'), []);
	await checkNothingWrong(page, 'a deletion of what runs');
});

test('what is protected says so, and leads to where that is changed', async () => {
	await makeVm('guarded', {}, { protected: true });
	const dialog = await openQuestion('#/vms/default/guarded', 'guarded');
	await dialog.getByRole('heading', { name: 'VM guarded cannot be deleted' }).waitFor();
	await checkAccessibility(page, 'a refusal');
	await dialog.getByRole('link', { name: 'Edit it' }).click();
	await page.getByLabel('Protected').uncheck();
	await page.getByRole('button', { name: 'Save' }).click();
	await page.getByText('guarded was changed').waitFor();
	const question = await openQuestion('#/vms/default/guarded', 'guarded');
	await question.getByRole('button', { name: 'Delete' }).click();
	await page.getByRole('heading', { name: 'No VMs yet' }).waitFor();
	await checkNothingWrong(page, 'protection');
});

test('what others need names them', async () => {
	await cellad.create('networks', 'own', { type: 'user' });
	await makeVm('web1', { image: 'base', nets: [{ network: 'own' }] });
	await go(page, '#/vms/default/web1');
	await page.getByRole('heading', { level: 1, name: 'web1' }).waitFor();
	await go(page, '#/disks');
	await page.getByRole('row', { name: /web1/ }).waitFor();
	for (const [place, name, words] of [
		['#/images/default/base', 'base', 'It is needed by VM web1, disk web1.'],
		['#/disks/default/web1', 'web1', 'It belongs to VM web1.'],
		['#/networks/default/own', 'own', 'It is needed by VM web1.'],
		['#/pools/default', 'default', 'It still holds disk data, disk web1, image base.'],
		['#/roles/admin', 'admin', 'It comes with Cella'],
		['#/projects/default', 'default', 'This project always stays.'],
	]) {
		const dialog = await openQuestion(place, name);
		await dialog.getByText(words).waitFor();
		await dialog.getByRole('button', { name: 'Close' }).click();
		await dialog.waitFor({ state: 'detached' });
	}
	await checkNothingWrong(page, 'refusals');
});

test('several are named, with what is left alone', async () => {
	for (const name of ['a1', 'a2', 'a3', 'a4']) await makeVm(name, { running: name === 'a1' }, { labels: { group: 'a' }, protected: name === 'a4' });
	await makeVm('a5', { image: 'base' }, { labels: { group: 'a' } });
	await go(page, '#/vms?q=group%3Da');
	await page.getByRole('row', { name: /a5/ }).waitFor();
	await page.getByRole('row', { name: /a1/ }).getByText('Running').waitFor();
	await page.getByLabel('Choose all').check();
	await page.getByRole('region', { name: 'Chosen ones' }).getByRole('button', { name: 'Delete' }).click();
	const dialog = page.getByRole('dialog', { name: 'Delete 4 VMs?' });
	await dialog.getByText('a1, a2, a3, a5').waitFor();
	await dialog.getByText('Left alone: a4 (protected).').waitFor();
	await dialog.getByText('1 of them runs (a1)').waitFor();
	await dialog.locator('.fate').getByText('disk a5').waitFor();
	await checkAccessibility(page, 'a deletion of several');
	await dialog.getByLabel('Type delete to confirm').fill('delete');
	await dialog.getByRole('button', { name: 'Force off and delete' }).click();
	for (const name of ['a1', 'a2', 'a3', 'a5']) await page.getByRole('row', { name: new RegExp(name) }).waitFor({ state: 'detached' });
	assert.deepEqual(await there('vms'), ['a4', 'web1']);
	// Of those that are protected alone, nothing is asked.
	await page.getByLabel('Choose all').check();
	await page.getByRole('region', { name: 'Chosen ones' }).getByRole('button', { name: 'Delete' }).click();
	await page.getByRole('dialog').getByRole('heading', { name: 'VM a4 cannot be deleted' }).waitFor();
	await checkNothingWrong(page, 'a deletion of several');
});
