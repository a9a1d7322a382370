// SPDX-License-Identifier: GPL-2.0-or-later
// What a person runs into who does not do everything in order.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkAccessibility, checkNothingWrong, go, makeAdmin, openBrowser, openPage, signIn } from './browser.mjs';
import { Cellad } from './cellad.mjs';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7l2Q6y4aXw3u0Jb9m6K0x3p4VYb1n0yM7m3w8Q5c2d anna@laptop';

let cellad, browser, who, page;

before(async () => {
	cellad = await Cellad.start();
	browser = await openBrowser();
	who = await makeAdmin(cellad);
	page = await openPage(browser);
	page.on('dialog', (dialog) => void dialog.accept()); // to leave without saving
	await signIn(page, cellad, who);
});

after(async () => {
	await browser?.close();
	await cellad?.stop();
});

/** As if it had lasted too long. */
function endSession(page) {
	return page.evaluate(() => fetch('/v1/session', { method: 'DELETE' }));
}

test('a session that ended is begun again over the page, and nothing that was typed is lost', async () => {
	await go(page, '#/networks/new');
	await page.locator('input[name=name]').fill('kept');
	await page.getByLabel('Type', { exact: true }).selectOption('user');
	// Whether the page notices before it or by it.
	const create = await page.getByRole('button', { name: 'Create network' }).elementHandle();
	await endSession(page);
	await create.evaluate((button) => button.click());
	const dialog = page.getByRole('dialog', { name: 'Your session has ended' });
	await dialog.waitFor();
	await page.keyboard.press('Escape');
	await checkAccessibility(page, 'a session that ended');
	await dialog.getByLabel('Password').fill('not this one');
	await dialog.getByRole('button', { name: 'Sign in' }).click();
	await dialog.getByRole('alert').waitFor();
	await dialog.getByLabel('Password').fill(who.password);
	await dialog.getByRole('button', { name: 'Sign in' }).click();
	await dialog.waitFor({ state: 'detached' });
	assert.equal(await page.locator('input[name=name]').inputValue(), 'kept');
	await page.getByRole('button', { name: 'Create network' }).click();
	await page.getByRole('heading', { level: 1, name: 'kept', exact: true }).waitFor();
	// Events come again as well.
	await cellad.create('networks', 'later', { type: 'user' });
	await go(page, '#/networks');
	await page.getByRole('row', { name: /later/ }).waitFor();
	await checkNothingWrong(page, 'a session that ended');
});

test('a link signs in whoever it is for, also where somebody else is', async () => {
	const other = await openPage(browser);
	await signIn(other, cellad, who);
	const link = await cellad.newLink('root');
	await other.goto(link);
	await other.getByRole('button', { name: 'Account of root' }).waitFor();
	assert.ok(!other.url().includes('link='), 'the link does not stay in the address');
	await other.context().close();
});

test('further settings open at the first click, also right behind a size', async () => {
	await go(page, '#/disks/new');
	await page.getByLabel('Size', { exact: true }).fill('1G');
	await page.getByText('More settings').click();
	await page.getByLabel('Linked').waitFor();
});

test('a template is made by its form, and machines from it', async () => {
	await go(page, '#/templates/new');
	await page.locator('input[name=name]').fill('small');
	for (const [i, [name, type, preset]] of [['memory', 'size', '64M'], ['role', 'string', '']].entries()) {
		await page.getByRole('button', { name: 'Add parameter' }).click();
		const parameter = page.getByRole('group', { name: `Parameter ${i + 1}` });
		await parameter.getByLabel('Name').fill(name);
		await parameter.getByLabel('Type').selectOption(type);
		await parameter.getByLabel('Default').fill(preset);
	}
	const machine = page.getByRole('group', { name: 'Machine', exact: true });
	await machine.getByLabel('Memory', { exact: true }).fill('${memory}');
	await machine.getByLabel('CPUs', { exact: true }).fill('1');
	await machine.getByText('More settings').click();
	await machine.getByLabel('Engine', { exact: true }).selectOption('soft');
	await checkAccessibility(page, 'the form of a template');
	await page.getByRole('button', { name: 'JSON' }).click();
	const text = machine.getByLabel('Spec');
	assert.deepEqual(JSON.parse(await text.inputValue()), { cpus: 1, memory: '${memory}', engine: 'soft' });
	await text.fill('{"cpus": 1, "memory": "${memory}", "engine": "soft", "cloud-init": {"hostname": "${role}-${name}"}}');
	await page.getByRole('button', { name: 'Form', exact: true }).click();
	await machine.getByText('More settings').waitFor();
	await page.getByRole('button', { name: 'Create template' }).click();
	await page.getByRole('heading', { level: 1, name: 'small', exact: true }).waitFor();
	const [template] = await cellad.list('templates');
	assert.deepEqual(template.spec.vm, { cpus: 1, memory: '${memory}', engine: 'soft', 'cloud-init': { hostname: '${role}-${name}' } });
	await page.locator('main').getByText('${memory}').waitFor();

	await page.getByRole('button', { name: 'Create VM' }).click();
	const dialog = page.getByRole('dialog', { name: 'Create VM from small' });
	await dialog.getByLabel('Name').fill('db1');
	await dialog.getByLabel('Start it at once').uncheck();
	await dialog.getByRole('button', { name: 'Create VM' }).click();
	await dialog.getByText('It needs a value').waitFor();
	await dialog.getByLabel('Role').fill('db');
	await dialog.getByLabel('Memory').fill('128 MiB');
	await checkAccessibility(page, 'what a template asks for');
	await dialog.getByRole('button', { name: 'Create VM' }).click();
	await page.getByRole('link', { name: 'db1 is being made' }).click();
	await page.getByRole('heading', { level: 1, name: 'db1', exact: true }).waitFor();
	const [vm] = await cellad.list('vms');
	assert.equal(vm.spec.memory, 128 * 2 ** 20);
	assert.equal(vm.spec['cloud-init'].hostname, 'db-db1');

	// Looking at the form changes nothing.
	await go(page, '#/templates/default/small/edit');
	await machine.getByText('More settings').click();
	assert.ok(await page.getByRole('button', { name: 'Save' }).isDisabled());
	await machine.getByLabel('CPUs', { exact: true }).fill('2');
	await page.getByRole('button', { name: 'Save' }).click();
	await page.getByText('small was changed').waitFor();
	assert.deepEqual((await cellad.list('templates'))[0].spec.vm, { ...template.spec.vm, cpus: 2 });
	await checkNothingWrong(page, 'a template');
});

test('a long list is turned over in pages, and a change draws its own row alone', async () => {
	for (let i = 0; i < 230; i += 10)
		await Promise.all(Array.from({ length: 10 }, (_, j) => cellad.create('keys', `key-${i + j}`, { 'public-key': KEY }, { labels: { half: i < 120 ? 'one' : 'two' } })));
	await go(page, '#/keys');
	const rows = page.locator('tbody tr');
	const pages = page.getByRole('navigation', { name: 'Pages of the list' });
	await pages.getByText('1 to 100 of 230').waitFor();
	assert.equal(await rows.count(), 100);
	await checkAccessibility(page, 'a long list');
	await pages.getByRole('button', { name: 'Next' }).click();
	await page.getByRole('row', { name: /key-100 / }).waitFor();
	await page.waitForFunction(() => location.hash.includes('page=2'));
	await page.reload();
	await pages.getByText('101 to 200 of 230').waitFor();
	// All that fit can be chosen, not this page of them alone.
	await page.getByLabel('Search SSH keys').fill('half=one');
	await pages.getByText('1 to 100 of 120').waitFor();
	await page.getByLabel('Choose all').check();
	const chosen = page.getByRole('region', { name: 'Chosen ones' });
	await chosen.getByText('100 chosen').waitFor();
	await chosen.getByRole('button', { name: 'Choose all 120' }).click();
	await chosen.getByText('120 chosen').waitFor();
	await chosen.getByRole('button', { name: 'Clear the choice' }).click();
	await chosen.waitFor({ state: 'hidden' });

	await page.evaluate(() => {
		globalThis.touched = new Set();
		new MutationObserver((all) => {
			for (const one of all) {
				const element = one.target.closest ? one.target : one.target.parentElement;
				// Times such as "1 min ago" go on by themselves.
				if (!element?.closest('time')) globalThis.touched.add(element?.closest('tr')?.innerText ?? 'elsewhere');
			}
		}).observe(document.querySelector('tbody'), { subtree: true, childList: true, characterData: true, attributes: true });
	});
	await cellad.api('PATCH', '/v1/projects/default/keys/key-7', { labels: { half: 'one', changed: 'yes' } });
	await page.getByRole('row', { name: /key-7 / }).getByText('changed=yes').waitFor();
	const touched = await page.evaluate(() => [...globalThis.touched]);
	assert.deepEqual(touched.map((text) => text.trim().split(/\s/)[0]), ['key-7']);
	await checkNothingWrong(page, 'a long list');
});
