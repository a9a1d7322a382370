// SPDX-License-Identifier: GPL-2.0-or-later
// Forms that are made from the schema, errors at the field that they are about, and what is done by keys alone.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { checkAccessibility, checkNothingWrong, go, makeAdmin, openBrowser, openPage, PATIENCE, signIn } from './browser.mjs';
import { Cellad } from './cellad.mjs';

let cellad, browser, who, page;

before(async () => {
	cellad = await Cellad.start();
	browser = await openBrowser();
	who = await makeAdmin(cellad);
	page = await openPage(browser);
	await signIn(page, cellad, who);
});

after(async () => {
	await browser?.close();
	await cellad?.stop();
});

test('an error stands at its field, and goes when it was mended', async () => {
	await go(page, '#/vms/new');
	await page.getByLabel('Memory', { exact: true }).fill('1 MiB');
	await page.locator('input[name=name]').fill('small');
	await page.getByRole('button', { name: 'Create VM' }).click();
	const memory = page.getByLabel('Memory', { exact: true });
	await page.locator('.field.wrong').waitFor();
	assert.equal(await memory.getAttribute('aria-invalid'), 'true');
	const described = await memory.getAttribute('aria-describedby');
	assert.match(await page.locator(`#${described.split(' ')[0]}`).innerText(), /16/);
	await checkAccessibility(page, 'a form with an error');
	await memory.fill('64 MiB');
	await page.getByLabel('Start it at once').uncheck();
	await page.getByRole('button', { name: 'Create VM' }).click();
	await page.getByRole('heading', { level: 1, name: 'small', exact: true }).waitFor();
	const [vm] = await cellad.list('vms');
	assert.equal(vm.spec.memory, 64 * 2 ** 20);
	await checkNothingWrong(page, 'an error');
});

test('a name that is taken is said at the name', async () => {
	await cellad.create('networks', 'taken', { type: 'user' });
	await go(page, '#/networks/new');
	await page.locator('input[name=name]').fill('taken');
	await page.getByLabel('Type', { exact: true }).selectOption('user');
	await page.getByRole('button', { name: 'Create network' }).click();
	await page.getByText(/taken/).filter({ hasText: /there is|exists|already/i }).first().waitFor();
});

test('lists of objects and labels are filled in', async () => {
	page.on('dialog', (dialog) => void dialog.accept());
	await go(page, '#/security-groups/new');
	await page.locator('input[name=name]').fill('web');
	const labels = page.getByRole('group', { name: 'Labels' }).first();
	await labels.getByRole('button', { name: 'Add' }).click();
	await labels.getByLabel('Labels: name 1').fill('tier');
	await labels.getByLabel('Labels: value 1').fill('web');
	await page.getByRole('button', { name: 'Add rule' }).click();
	const rule = page.getByRole('group', { name: 'Rule 1' });
	await rule.getByLabel('Protocol').selectOption('tcp');
	await rule.getByLabel('Ports').fill('80,443');
	await checkAccessibility(page, 'a form with lists');
	await page.getByRole('button', { name: 'Create security group' }).click();
	await page.getByRole('heading', { level: 1, name: 'web', exact: true }).waitFor();
	const [group] = await cellad.list('security-groups');
	assert.deepEqual(group.spec.labels, { tier: 'web' });
	assert.equal(group.spec.rules[0].ports, '80,443');
});

test('two who change the same thing: the second one is told and keeps what is theirs', async () => {
	const network = await cellad.create('networks', 'shared', { type: 'user' });
	assert.ok(network);
	await go(page, '#/networks/default/shared/edit');
	const notes = page.getByLabel('Notes');
	await notes.fill('mine');
	await cellad.api('PATCH', '/v1/projects/default/networks/shared', { labels: { by: 'another' } });
	await page.getByText('Somebody else has changed it meanwhile').waitFor();
	await page.getByRole('button', { name: 'Take over the changes' }).click();
	assert.equal(await notes.inputValue(), 'mine');
	assert.equal(await page.getByLabel('Labels: name 1').inputValue(), 'by');
	await page.getByRole('button', { name: 'Save' }).click();
	await page.getByText('shared was changed').waitFor();
	const now = await cellad.api('GET', '/v1/projects/default/networks/shared');
	assert.equal(now.notes, 'mine');
	assert.deepEqual(now.labels, { by: 'another' });
});

test('a token is shown once', async () => {
	await go(page, '#/tokens/new');
	await page.locator('input[name=name]').fill('ci');
	await page.getByRole('button', { name: 'Create token' }).click();
	const dialog = page.getByRole('dialog', { name: 'Token ci' });
	const secret = await dialog.locator('.copy-box span').first().innerText();
	assert.match(secret, /^cella_ci_/);
	await checkAccessibility(page, 'a new token');
	await dialog.getByRole('button', { name: 'Done' }).click();
	await page.getByRole('row', { name: /ci/ }).waitFor();
	// The dialog goes from the page a moment after it is closed.
	await page.waitForFunction((text) => !document.documentElement.outerHTML.includes(text), secret);
});

test('who may only look is offered nothing else', async () => {
	await cellad.create('users', 'vera', { password: 'only for looking', grants: [{ role: 'viewer' }] });
	const other = await openPage(browser);
	await signIn(other, cellad, { user: 'vera', password: 'only for looking' });
	assert.equal(await other.getByRole('link', { name: 'Create VM' }).count(), 0);
	await go(other, '#/vms/default/small');
	await other.getByRole('heading', { level: 1, name: 'small', exact: true }).waitFor();
	assert.equal(await other.getByRole('link', { name: 'Edit' }).count(), 0);
	assert.equal(await other.getByRole('link', { name: 'Console' }).count(), 0);
	for (const name of ['Start', 'Stop', 'Restart']) assert.equal(await other.getByRole('button', { name, exact: true }).count(), 0, name);
	await other.getByRole('button', { name: 'More actions of small' }).click();
	await other.getByRole('menuitem', { name: 'Commands' }).waitFor();
	for (const name of ['Pause', 'Clone', 'Rename', 'Delete']) assert.equal(await other.getByRole('menuitem', { name }).count(), 0, name);
	await other.getByRole('menuitem', { name: 'Commands' }).click();
	const commands = other.getByRole('dialog', { name: 'Commands for small' });
	await commands.getByText('cella vm show small', { exact: true }).waitFor();
	assert.equal(await commands.getByText('cella vm delete small').count(), 0);
	await checkAccessibility(other, 'commands');
	await other.keyboard.press('Escape');
	await go(other, '#/networks');
	await other.getByRole('row', { name: /shared/ }).waitFor();
	assert.equal(await other.getByRole('link', { name: 'Create network' }).count(), 0);
	await go(other, '#/vms/default/small/edit');
	await other.getByRole('heading', { level: 2, name: 'Machine' }).waitFor();
	assert.equal(await other.getByRole('button', { name: 'Save' }).count(), 0, 'nor by its address');
	await go(other, '#/users');
	await other.getByRole('heading', { name: 'You may not see users' }).waitFor();
	await go(other, '#/audit');
	await other.getByRole('heading', { name: 'The audit log is not for you' }).waitFor();
	await checkAccessibility(other, 'what one may not see');
	await checkNothingWrong(other, 'a viewer');
	await other.context().close();
});

test('a user is let in by a link, and sees the own sessions', async () => {
	await go(page, '#/users/vera');
	await page.getByRole('button', { name: 'Actions of vera' }).click();
	await page.getByRole('menuitem', { name: 'Make a sign-in link' }).click();
	const dialog = page.getByRole('dialog', { name: 'Sign-in link for vera' });
	const link = await dialog.locator('.copy-box span').first().innerText();
	await dialog.getByRole('button', { name: 'Done' }).click();
	const other = await openPage(browser);
	await other.goto(link);
	await other.getByRole('button', { name: 'Account of vera' }).click();
	await other.getByRole('menuitem', { name: 'Sessions' }).click();
	await other.getByRole('dialog', { name: 'Your sessions' }).getByText('this one').waitFor();
	await checkAccessibility(other, 'the sessions');
	await checkNothingWrong(other, 'the sessions');
	await other.context().close();
});

test('an image is uploaded, with its progress', async () => {
	await go(page, '#/images/new');
	const content = Buffer.alloc(3 << 20, 'cella');
	await page.getByLabel('Disk image').setInputFiles({ name: 'Little Disk.raw', mimeType: 'application/octet-stream', buffer: content });
	await page.locator('.drop').getByText('Little Disk.raw').waitFor();
	assert.equal(await page.locator('input[name=name]').inputValue(), 'little-disk');
	await page.getByRole('button', { name: 'Upload' }).click();
	await page.getByRole('row', { name: /little-disk/ }).getByText('Ready').waitFor({ timeout: 3 * PATIENCE });
	const [image] = await cellad.list('images');
	assert.equal(image.status.size, content.length);
	await checkNothingWrong(page, 'an upload');
});

test('an upload whose line breaks goes on', async () => {
	let broken = 0;
	await page.route('**/content', (route) => (broken++ ? route.continue() : route.abort('connectionreset')));
	await go(page, '#/images/new');
	await page.getByLabel('Disk image').setInputFiles({ name: 'broken.raw', mimeType: 'application/octet-stream', buffer: Buffer.alloc(1 << 20, 1) });
	await page.getByRole('button', { name: 'Upload' }).click();
	await page.getByRole('row', { name: /broken/ }).getByText('Ready').waitFor({ timeout: 3 * PATIENCE });
	assert.equal(broken, 2);
	await page.unroute('**/content');
	page.wrong = page.wrong.filter((text) => !text.includes('ERR_CONNECTION_RESET'));
});

test('what is under way is shown with its progress, and cancelled', async () => {
	// A server that says much and sends little.
	const slow = http.createServer((request, response) => {
		response.writeHead(200, { 'content-length': String(64 << 20), 'accept-ranges': 'none' });
		if (request.method === 'HEAD') response.end();
		else response.write(Buffer.alloc(1 << 20));
	});
	await new Promise((resolve) => slow.listen(0, '127.0.0.1', resolve));
	try {
		await go(page, '#/images/new');
		await page.getByText('Fetch', { exact: true }).click();
		await page.getByLabel('URL', { exact: false }).fill(`http://127.0.0.1:${slow.address().port}/disk.qcow2`);
		await page.locator('input[name=name]').fill('slow');
		await page.getByRole('button', { name: 'Create image' }).click();
		await page.getByRole('row', { name: /slow/ }).waitFor();
		await page.getByRole('button', { name: '1 operation' }).click();
		const drawer = page.getByRole('dialog', { name: 'Operations' });
		await drawer.getByRole('progressbar').first().waitFor();
		await checkAccessibility(page, 'an operation under way');
		await drawer.getByRole('button', { name: /^Cancel create image slow/i }).click();
		await drawer.getByText('Cancelled').waitFor();
		await page.keyboard.press('Escape');
	} finally {
		slow.closeAllConnections();
		slow.close();
	}
});

test('keys lead everywhere', async () => {
	await go(page, '#/');
	await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
	await page.locator('.main').focus();
	// The second one counts for a second: neither waits for word of the other.
	await Promise.all([page.keyboard.press('g'), page.keyboard.press('v')]);
	await page.getByRole('heading', { level: 1, name: 'VMs' }).waitFor();
	await page.getByLabel('Search VMs').waitFor();
	await page.keyboard.press('/');
	await page.getByLabel('Search VMs').and(page.locator(':focus')).waitFor();
	await page.keyboard.press('Control+k');
	await page.getByRole('combobox', { name: 'Go to or do' }).fill('audit');
	await checkAccessibility(page, 'the palette');
	await page.keyboard.press('Enter');
	await page.getByRole('heading', { level: 1, name: 'Audit' }).waitFor();
	await page.keyboard.press('?');
	await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
	await checkAccessibility(page, 'the list of keys');
	await page.keyboard.press('Escape');
	await page.getByRole('dialog').waitFor({ state: 'detached' });
	await page.reload();
	await page.getByRole('heading', { level: 1, name: 'Audit' }).waitFor();
	await page.keyboard.press('Tab');
	assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the page');
	await page.keyboard.press('o');
	await page.getByRole('dialog', { name: 'Operations' }).waitFor();
	await checkAccessibility(page, 'operations at the edge');
	await page.keyboard.press('Escape');
});

test('a theme that was chosen stays', async () => {
	await page.getByRole('button', { name: 'Theme' }).click();
	await page.getByRole('menuitemradio', { name: 'Dark' }).click();
	await page.reload();
	await page.getByRole('heading', { level: 1 }).waitFor();
	assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
	await checkNothingWrong(page, 'a theme');
});
