// SPDX-License-Identifier: GPL-2.0-or-later
// A real Debian by mouse: its image is built, a machine made from it, signed in to, stopped and deleted. The image is
// built to its end once; afterwards its build is begun, watched and cancelled, and what was built before is imported.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkAccessibility, checkNothingWrong, openBrowser, openPage, picture } from './browser.mjs';
import { Cellad } from './cellad.mjs';

// Packages are fetched and installed; then a whole system starts, perhaps by software on a busy machine.
const BUILD = 1200000;
const BOOT = 600000;
const FILES = { 'disk.qcow2': 'qcow2', kernel: 'kernel', initrd: 'initrd' }; // here, and how they end in the pool
const USER = 'anna';
const PASSWORD = 'seven green bees';

let cellad, browser, page, cache;

async function cacheFolder() {
	const script = await readFile(join(dirname(fileURLToPath(import.meta.url)), '../../share/image-build'));
	const name = `image-debian-12-${createHash('sha256').update(script).digest('hex').slice(0, 12)}`;
	return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cella', name);
}

before(async () => {
	cache = await cacheFolder();
	cellad = await Cellad.start();
	browser = await openBrowser();
	page = await openPage(browser);
	await page.goto(cellad.link);
	await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
});

after(async () => {
	await browser?.close();
	await cellad?.stop();
});

const imageRow = () => page.getByRole('row', { name: /debian-12/ });

async function openNewImage(source) {
	await page.getByRole('link', { name: 'Images', exact: true }).click();
	await page.getByRole('link', { name: 'Create image' }).first().click();
	await page.getByText(source, { exact: true }).click();
}

async function keepImage() {
	const pool = join(cellad.data, 'pools/default');
	const made = `${cache}.${process.pid}`;
	await mkdir(made, { recursive: true });
	for (const file of await readdir(pool)) {
		const [name] = Object.entries(FILES).find(([, ending]) => file.endsWith(`.${ending}`)) ?? [];
		if (name) await copyFile(join(pool, file), join(made, name));
	}
	await rename(made, cache).catch(() => rm(made, { recursive: true })); // another one was faster
}

test('the image of a Debian is built, with its progress in the drawer', { timeout: BUILD + BOOT }, async () => {
	await openNewImage('Build');
	assert.equal(await page.getByLabel('System').inputValue(), 'debian:12');
	assert.equal(await page.locator('input[name=name]').inputValue(), 'debian-12');
	await checkAccessibility(page, 'the form that builds an image');
	await page.getByRole('button', { name: 'Create image' }).click();
	await imageRow().getByText('Building').waitFor();
	await page.getByRole('button', { name: '1 operation' }).click();
	const drawer = page.getByRole('dialog', { name: 'Operations' });
	await drawer.getByText(/packages.* · step \d of 8 · for \d+ (s|min)/).waitFor({ timeout: BUILD });
	await checkAccessibility(page, 'a build under way');
	await picture(page, 'build');
	if (existsSync(cache)) {
		await drawer.getByRole('button', { name: 'Cancel create image debian-12', exact: false }).click();
		await drawer.getByText('Cancelled').waitFor();
		await page.keyboard.press('Escape');
		await imageRow().getByText('Failed').waitFor();
		await page.getByRole('button', { name: 'Actions of debian-12' }).click();
		await page.getByRole('menuitem', { name: 'Delete' }).click();
		await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
		await page.getByRole('heading', { name: 'No images yet' }).waitFor();
		await openNewImage('Import');
		await page.getByRole('textbox', { name: 'File' }).fill(join(cache, 'disk.qcow2'));
		await page.locator('input[name=name]').fill('debian-12');
		await page.getByText('More settings').click();
		await page.getByLabel('Kernel', { exact: true }).fill(join(cache, 'kernel'));
		await page.getByLabel('Initrd', { exact: true }).fill(join(cache, 'initrd'));
		await page.getByLabel('Append', { exact: true }).fill('root=/dev/vda1 ro console=ttyS0 quiet');
		await page.getByRole('button', { name: 'Create image' }).click();
	} else {
		await drawer.getByText('Done').waitFor({ timeout: BUILD });
		await page.keyboard.press('Escape');
	}
	await imageRow().getByText('Ready').waitFor({ timeout: BUILD });
	if (!existsSync(cache)) await keepImage();
	await checkNothingWrong(page, 'the build of an image');
});

test('a Debian is created, signed in to on its console, stopped and deleted', { timeout: 4 * BOOT }, async () => {
	await page.getByRole('button', { name: 'Actions of debian-12' }).click();
	await page.getByRole('menuitem', { name: 'Create VM from it' }).click();
	await page.getByRole('heading', { level: 1, name: 'New VM' }).waitFor();
	await page.getByRole('radio', { name: /^debian-12/ }).and(page.locator(':checked')).waitFor();
	await page.getByText('1 CPU, 1 GiB').click();
	await page.getByLabel('User', { exact: true }).fill(USER);
	await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
	await page.locator('input[name=name]').fill('web1');
	await picture(page, 'create');
	await page.getByRole('button', { name: 'Create VM' }).click();
	await page.locator('.title').getByText('Running').waitFor({ timeout: BOOT });

	await page.getByRole('link', { name: 'Console', exact: true }).first().click();
	const screen = page.locator('.xterm-rows');
	await screen.getByText('web1 login:').waitFor({ timeout: BOOT });
	// All of the last line can be seen.
	const [line, frame] = await Promise.all([screen.locator('> div').last().boundingBox(), page.locator('.terminal-screen').boundingBox()]);
	assert.ok(line.y + line.height <= frame.y + frame.height, `the terminal ends at ${frame.y + frame.height}, its last line at ${line.y + line.height}`);
	// Only then cloud-init has set the password; what it says meanwhile stands behind the prompt.
	await screen.getByText(/Cloud-init v. \S+ finished/).waitFor({ timeout: BOOT });
	await page.locator('.terminal-screen').click();
	await page.keyboard.type(`\n${USER}\n`);
	await screen.getByText('Password:').waitFor({ timeout: BOOT });
	await page.keyboard.type(`${PASSWORD}\n`);
	await screen.getByText(`${USER}@web1:~$`).waitFor({ timeout: BOOT });
	// Its echo is not its answer.
	await page.keyboard.type('clear; . /etc/os-release; echo "$PRETTY_NAME on $(hostname), $(nproc) CPU"; uptime; free -h; df -h /; ip -br address\n');
	await screen.getByText('Debian GNU/Linux 12 (bookworm) on web1, 1 CPU').waitFor({ timeout: BOOT });
	await screen.getByText(/eth0 +UP/).waitFor({ timeout: BOOT });
	await picture(page, 'console');

	// A whole system may take its time to end.
	await cellad.api('PATCH', '/v1/projects/default/vms/web1', { spec: { 'stop-timeout': BOOT / 1000 } });
	await page.getByRole('button', { name: 'Stop', exact: true }).click();
	await page.locator('.title').getByText('Stopped').waitFor({ timeout: BOOT });
	const [vm] = await cellad.list('vms');
	assert.equal(vm.status.reason, 'power-off', 'it was the guest that ended');
	await page.getByRole('button', { name: 'More actions of web1' }).click();
	await page.getByRole('menuitem', { name: 'Delete' }).click();
	await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
	await page.getByRole('heading', { name: 'No VMs yet' }).waitFor();
	assert.deepEqual(await cellad.list('disks'), [], 'its disk went along');
	await checkNothingWrong(page, 'the life of a Debian');
});
