// SPDX-License-Identifier: GPL-2.0-or-later
// Bundles the console into a folder that any web server can hand out: node build.mjs FOLDER
import { build } from 'esbuild';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const folder = resolve(process.argv[2] ?? join(here, '../build/ui'));

await mkdir(folder, { recursive: true });
const before = await readdir(folder);
const result = await build({
	absWorkingDir: here,
	entryPoints: { app: 'src/main.tsx' },
	bundle: true,
	splitting: true,
	format: 'esm',
	target: ['es2022'],
	minify: true,
	sourcemap: false,
	jsxFactory: 'h',
	metafile: true,
	outdir: folder,
	// A name says what is in the file, so browsers may keep it for ever; index.html alone is asked for again.
	entryNames: '[name]-[hash]',
	chunkNames: 'part-[hash]',
	legalComments: 'none',
	logLevel: 'warning',
});

const outputs = Object.keys(result.metafile.outputs).map((name) => basename(name));
const named = (pattern) => outputs.find((name) => pattern.test(name));
const page = await readFile(join(here, 'index.html'), 'utf8');
await writeFile(
	join(folder, 'index.html'),
	page.replace('app.css', named(/^app-.*\.css$/)).replace('app.js', named(/^app-.*\.js$/)),
);
await writeFile(join(folder, 'icon.svg'), await readFile(join(here, 'icon.svg')));
// Beside each file a small one, for those who take it.
const kept = new Set([...outputs, 'index.html', 'icon.svg']);
for (const name of [...kept]) {
	await writeFile(join(folder, `${name}.gz`), gzipSync(await readFile(join(folder, name)), { level: 9 }));
	kept.add(`${name}.gz`);
}
for (const name of before) if (!kept.has(name)) await rm(join(folder, name), { recursive: true });
