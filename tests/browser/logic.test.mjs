// SPDX-License-Identifier: GPL-2.0-or-later
// What the console computes without a page: sizes, merge patches, and the kinds that a description of the API has.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, test } from 'node:test';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from './cellad.mjs';

const ui = join(dirname(fileURLToPath(import.meta.url)), '../../ui');
const esbuild = createRequire(join(ui, 'package.json'))('esbuild');

async function load(path) {
	const result = await esbuild.build({ entryPoints: [join(ui, 'src', path)], bundle: true, format: 'esm', write: false, jsxFactory: 'h' });
	return import(`data:text/javascript;base64,${Buffer.from(result.outputFiles[0].contents).toString('base64')}`);
}

let format, types, schema;

before(async () => {
	format = await load('base/format.ts');
	types = await load('api/types.ts');
	schema = await load('api/schema.ts');
});

test('sizes are read as people write them', () => {
	const table = [
		['512', 512],
		['512M', 512 * 2 ** 20],
		['1.5 GiB', 1.5 * 2 ** 30],
		['1,5g', 1.5 * 2 ** 30],
		[' 20 gib ', 20 * 2 ** 30],
		['2TB', 2 * 2 ** 40],
		['', null],
		['many', null],
		['-1', null],
		['1 GiB more', null],
		['9999999999P', null],
	];
	for (const [text, value] of table) assert.equal(format.parseBytes(text), value, text);
});

test('sizes that are edited lose nothing', () => {
	for (const value of [0, 1, 1000, 1024, 1025, 2 ** 30, 2 ** 30 + 512, 3 * 2 ** 41])
		assert.equal(format.parseBytes(format.exactBytes(value)), value);
	assert.equal(format.exactBytes(2 ** 31), '2 GiB');
	assert.equal(format.bytes(1610612736), '1.5 GiB');
});

test('spans of time have two units at the most', () => {
	const table = [
		[0, '0 s'],
		[59, '59 s'],
		[61, '1 min 1 s'],
		[3600, '1 h'],
		[90000, '1 d 1 h'],
		[86400 * 12 + 3600, '12 d'],
	];
	for (const [seconds, text] of table) assert.equal(format.span(seconds), text);
});

test('a merge patch says what differs, and no more', () => {
	const table = [
		[{ a: 1 }, { a: 1 }, undefined],
		[{ a: 1 }, { a: 2 }, { a: 2 }],
		[{ a: 1, b: 2 }, { b: 2 }, { a: null }],
		[{ a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, { a: { c: 3 } }],
		[{ a: [1, 2] }, { a: [1] }, { a: [1] }],
		[{}, { a: { b: {} } }, { a: { b: {} } }],
	];
	for (const [before, after, patch] of table) assert.deepEqual(types.mergePatch(before, after), patch);
});

test('the description of the API has every kind, with fields, actions and columns', async () => {
	const { stdout } = await promisify(execFile)(join(build, 'cellad'), ['--openapi'], { maxBuffer: 1 << 24 });
	const kinds = new Map(schema.kindsOf(JSON.parse(stdout)).map((kind) => [kind.name, kind]));
	for (const name of ['vm', 'disk', 'image', 'template', 'pool', 'network', 'security-group', 'key', 'user', 'role', 'token', 'project', 'node', 'operation'])
		assert.ok(kinds.has(name), name);
	const vm = kinds.get('vm');
	assert.equal(vm.plural, 'vms');
	assert.equal(vm.scope, 'project');
	assert.equal(schema.fieldAt(vm.spec, 'memory').type, 'size');
	assert.ok(schema.fieldAt(vm.spec, 'image').fixed);
	assert.equal(schema.fieldAt(vm.spec, 'image').ref, 'image');
	assert.ok(schema.fieldAt(vm.spec, 'cloud-init.password').secret);
	assert.ok(schema.fieldAt(vm.spec, 'autostart').live);
	assert.equal(schema.fieldAt(vm.spec, 'disks').type, 'object');
	assert.ok(schema.fieldAt(vm.spec, 'disks').list);
	assert.deepEqual(schema.fieldAt(vm.spec, 'engine').choices.slice(0, 1), ['auto']);
	assert.equal(vm.actions.find((action) => action.name === 'start').verb, 'operate');
	assert.ok(vm.columns.some((column) => column.path === 'status.state'));
	assert.ok(kinds.get('operation').internal);
	assert.ok(!kinds.get('user').internal);
});
