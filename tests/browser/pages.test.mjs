// SPDX-License-Identifier: GPL-2.0-or-later
// Every page, in both themes and at the width of a phone: something is there, nothing goes wrong, everybody can use it.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { checkAccessibility, checkNothingWrong, COLOURS, go, makeAdmin, openBrowser, openPage, SIZES, signIn } from './browser.mjs';
import { Cellad } from './cellad.mjs';

const GIB = 2 ** 30;
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7l2Q6y4aXw3u0Jb9m6K0x3p4VYb1n0yM7m3w8Q5c2d anna@laptop';

// Names as long as may be, and texts that would be more than text.
const LONG = `${'a'.repeat(30)}-${'b'.repeat(32)}`;
const HOSTILE = `<img src=x onerror="hacked=1"><script>hacked=1</script> \u202Eمرحبا ${'long '.repeat(50)}${'x'.repeat(200)}`;

// Address and its first heading.
const places = [
	['#/', 'Overview'],
	['#/vms', 'VMs'],
	['#/vms/new', 'New VM'],
	['#/vms/default/web1', 'web1'],
	[`#/vms/default/${LONG}`, LONG],
	['#/vms/default/web1/console', 'web1'],
	['#/vms/default/web1/disks', 'web1'],
	['#/vms/default/web1/networks', 'web1'],
	['#/vms/default/web1/events', 'web1'],
	['#/vms/default/web1/edit', 'web1'],
	['#/templates', 'Templates'],
	['#/templates/new', 'New template'],
	['#/disks', 'Disks'],
	['#/disks/new', 'New disk'],
	['#/disks/default/data', 'data'],
	['#/images', 'Images'],
	['#/images/new', 'New image'],
	['#/pools', 'Pools'],
	['#/pools/new', 'New pool'],
	['#/pools/default', 'default'],
	['#/networks', 'Networks'],
	['#/networks/new', 'New network'],
	['#/networks/default/own', 'own'],
	['#/networks/default/own/edit', 'own'],
	['#/security-groups', 'Security groups'],
	['#/security-groups/new', 'New security group'],
	['#/security-groups/default/web', 'web'],
	['#/users', 'Users'],
	['#/users/new', 'New user'],
	['#/users/anna', 'anna'],
	['#/roles', 'Roles'],
	['#/roles/new', 'New role'],
	['#/tokens', 'Tokens'],
	['#/tokens/new', 'New token'],
	['#/keys', 'SSH keys'],
	['#/keys/new', 'New SSH key'],
	['#/projects', 'Projects'],
	['#/projects/new', 'New project'],
	['#/nodes', null],
	['#/operations', 'Operations'],
	['#/audit', 'Audit'],
	['#/api', 'API'],
];

const looks = [
	['light', { colorScheme: 'light' }],
	['dark', { colorScheme: 'dark' }, COLOURS],
	['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 }, hasTouch: true }, SIZES],
];

let cellad, browser, who;

before(async () => {
	cellad = await Cellad.start();
	browser = await openBrowser();
	who = await makeAdmin(cellad);
	await cellad.create('networks', 'own', { type: 'user' });
	await cellad.create('keys', 'anna', { 'public-key': KEY });
	await cellad.create('disks', 'data', { size: GIB });
	await cellad.create('security-groups', 'web', { labels: { tier: 'web' }, rules: [{ protocol: 'tcp', ports: '80,443' }] });
	await cellad.create('vms', 'web1', { memory: 64 * 2 ** 20, nets: [{ network: 'own' }] }, { labels: { tier: 'web' }, notes: 'the front' });
	await cellad.create('vms', LONG, { memory: 64 * 2 ** 20 }, { labels: { [`label-${'c'.repeat(50)}`]: 'd'.repeat(60) }, notes: HOSTILE });
	await cellad.create('vms', 'db1', { memory: 64 * 2 ** 20 }, { labels: { tier: 'db' }, protected: true });
});

after(async () => {
	await browser?.close();
	await cellad?.stop();
});

for (const [look, options, rules] of looks) {
	test(`every page is whole and accessible: ${look}`, async () => {
		const page = await openPage(browser, options);
		await signIn(page, cellad, who);
		for (const [place, heading] of places) {
			await go(page, place);
			const title = page.getByRole('heading', { level: 1 });
			await title.waitFor();
			if (heading) await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
			await page.locator('.skeleton').waitFor({ state: 'detached' });
			await checkAccessibility(page, `${place} ${look}`, rules);
			await checkNothingWrong(page, `${place} ${look}`);
			assert.equal(await page.evaluate(() => globalThis.hacked), undefined, place);
			if (process.env.SHOTS) {
				await mkdir(process.env.SHOTS, { recursive: true });
				await page.screenshot({ path: join(process.env.SHOTS, `${place.slice(0, 60).replace(/^#\/?/, '').replace(/\//g, '-') || 'overview'}-${look}.png`), fullPage: true });
			}
		}
		await page.context().close();
	});
}

test('sign-in is accessible, and says what is wrong', async () => {
	const page = await openPage(browser);
	await page.goto(cellad.address);
	await page.getByLabel('User').fill('anna');
	await page.getByLabel('Password').fill('not this one');
	await checkAccessibility(page, 'sign-in');
	await page.getByRole('button', { name: 'Sign in' }).click();
	await page.getByRole('alert').waitFor();
	assert.equal(await page.getByLabel('Password').inputValue(), '');
	await checkAccessibility(page, 'sign-in that was refused');
	await checkNothingWrong(page, 'sign-in');
	await page.context().close();
});

test('an address of nothing says so', async () => {
	const page = await openPage(browser);
	await signIn(page, cellad, who);
	await go(page, '#/vms/default/nobody');
	await page.getByRole('heading', { name: 'There is no VM nobody' }).waitFor();
	await go(page, '#/nowhere');
	await page.getByRole('heading', { name: 'There is nothing here' }).waitFor();
	await checkNothingWrong(page, 'an address of nothing');
	await page.context().close();
});

test('the page asks no other host, and its policy allows no inline code', async () => {
	const page = await openPage(browser);
	const asked = [];
	page.on('request', (request) => asked.push(request.url()));
	const response = await page.goto(cellad.address);
	const policy = response.headers()['content-security-policy'];
	await signIn(page, cellad, who);
	await go(page, '#/vms/default/web1/console');
	await page.locator('.xterm').waitFor();
	const strangers = asked.filter((url) => !url.startsWith(cellad.address) && !url.startsWith('data:'));
	assert.deepEqual(strangers, []);
	assert.ok(policy, 'there is a policy');
	assert.ok(!policy.includes('unsafe-inline'), policy);
	await page.context().close();
});

test('a long name leaves what can be done in sight', async () => {
	const page = await openPage(browser);
	await signIn(page, cellad, who);
	await go(page, '#/vms');
	const box = await page.getByRole('button', { name: `Actions of ${LONG}` }).boundingBox();
	assert.ok(box.x + box.width <= 1280, `the actions begin at ${box.x}`);
	await page.context().close();
});
