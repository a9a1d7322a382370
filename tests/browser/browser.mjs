// SPDX-License-Identifier: GPL-2.0-or-later
// The browser, pages that nothing may go wrong on, and what is asked of each: no errors, no breach of accessibility.
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PATIENCE } from './cellad.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(here, '../../ui/package.json'));
const { chromium } = require('playwright-core');
const axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');

export { PATIENCE };

export function openBrowser() {
	return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
}

/** A page in a session of its own, as a second person has one. What goes wrong on it is in `page.wrong`. */
export async function openPage(browser, options = {}) {
	const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options });
	context.setDefaultTimeout(PATIENCE);
	const page = await context.newPage();
	page.wrong = [];
	page.on('pageerror', (error) => page.wrong.push(String(error)));
	page.on('console', (message) => {
		// Refusals that a test asks for are told of as well.
		if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) page.wrong.push(message.text());
	});
	return page;
}

/** Somebody who may do everything, by name and password. */
export async function makeAdmin(cellad, name = 'anna', password = 'long enough a word') {
	await cellad.create('users', name, { 'full-name': 'Anna Lindqvist', password, grants: [{ role: 'admin' }] });
	return { user: name, password };
}

export async function signIn(page, cellad, who) {
	await page.goto(cellad.address);
	await page.getByLabel('User').fill(who.user);
	await page.getByLabel('Password').fill(who.password);
	await page.getByRole('button', { name: 'Sign in' }).click();
	await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
}

export async function go(page, place) {
	await page.evaluate((hash) => {
		location.hash = hash;
	}, place);
}

const AA = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
/** What another look of the same page can break. */
export const COLOURS = ['color-contrast', 'link-in-text-block'];
export const SIZES = ['target-size', 'label', 'scrollable-region-focusable', 'color-contrast'];

/** Spec: WCAG 2.2 A and AA, as far as axe can see. */
export async function checkAccessibility(page, place, rules = AA) {
	// A tool of the tests: the page's own policy does not bind it.
	await page.evaluate(axe);
	const found = await page.evaluate(async (runOnly) => {
		const result = await globalThis.axe.run(document, { runOnly });
		return result.violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target.join(' ')} (${node.failureSummary})`).join('; ')}`);
	}, rules);
	assert.deepEqual(found, [], `accessibility of ${place}`);
}

export async function checkNothingWrong(page, place) {
	assert.deepEqual(page.wrong, [], `errors of ${place}`);
	const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
	assert.ok(over <= 0, `${place} is ${over} pixels too wide`);
}

/** A picture of the page for the documents, in both themes, into the folder that SHOTS names. */
export async function picture(page, name) {
	if (!process.env.SHOTS) return;
	await mkdir(process.env.SHOTS, { recursive: true });
	for (const colorScheme of ['light', 'dark']) {
		await page.emulateMedia({ colorScheme });
		await page.screenshot({ path: join(process.env.SHOTS, `${name}-${colorScheme}.png`) });
	}
	await page.emulateMedia({ colorScheme: 'light' });
}
