// SPDX-License-Identifier: GPL-2.0-or-later
// A daemon of its own for a file of tests, and its API by the Unix socket, as root.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const build = process.env.CELLA_BUILD ?? join(dirname(fileURLToPath(import.meta.url)), '../../build');

// Generous: a test waits for what happens, on a busy machine as well.
export const PATIENCE = 240000;

export class Cellad {
	static async start() {
		const cellad = new Cellad();
		cellad.data = await mkdtemp(join(tmpdir(), 'cella-browser-'));
		cellad.socket = join(cellad.data, 'api.sock');
		await cellad.run('127.0.0.1:0');
		return cellad;
	}

	/** Starts the process; again after kill(). */
	async run(listen) {
		this.process = spawn(join(build, 'cellad'), ['--data', this.data, '--socket', this.socket, '--listen', listen, '--ui', join(build, 'ui')], {
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		this.log = '';
		this.process.stderr.on('data', (text) => {
			this.log += text;
		});
		let said = '';
		await new Promise((resolve, reject) => {
			this.process.stdout.on('data', (text) => {
				said += text;
				if (/^sign in .*\n/m.test(said)) resolve();
			});
			this.process.once('exit', () => reject(new Error(`cellad ended at once: ${this.log}`)));
			setTimeout(() => reject(new Error(`cellad does not say where it is: ${said}${this.log}`)), PATIENCE).unref();
		});
		this.address = /^console\s+(\S+)/m.exec(said)[1];
		this.link = /^sign in\s+(\S+)/m.exec(said)[1];
	}

	/** As the power would. */
	async kill() {
		const ended = new Promise((resolve) => this.process.once('exit', resolve));
		this.process.kill('SIGKILL');
		await ended;
	}

	forceOff(vm) {
		return this.api('POST', `/v1/projects/${vm.project}/vms/${vm.name}/actions/stop?wait=4m`, { force: true });
	}

	async stop() {
		for (const vm of await this.list('vms').catch(() => [])) await this.forceOff(vm).catch(() => {});
		const ended = new Promise((resolve) => this.process.once('exit', resolve));
		this.process.kill('SIGTERM');
		setTimeout(() => this.process.kill('SIGKILL'), PATIENCE).unref();
		await ended;
		await rm(this.data, { recursive: true, force: true, maxRetries: 10 }); // a file of what just ended may come meanwhile
	}

	/** The body of the answer; an error of the API is thrown. */
	api(method, path, body) {
		return new Promise((resolve, reject) => {
			const text = body === undefined ? undefined : JSON.stringify(body);
			const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
			const headers = text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) };
			const request = http.request({ socketPath: this.socket, method, path, headers: { host: 'localhost', ...headers } }, (response) => {
				let said = '';
				response.on('data', (part) => {
					said += part;
				});
				response.on('end', () => {
					const value = said ? JSON.parse(said) : null;
					if (response.statusCode < 400) resolve(value);
					else reject(new Error(`${method} ${path}: ${response.statusCode} ${said}`));
				});
			});
			request.on('error', reject);
			request.end(text);
		});
	}

	/** Also of a VM that runs. */
	async removeVm(vm) {
		await this.forceOff(vm).catch(() => {});
		await this.api('DELETE', `/v1/projects/${vm.project}/vms/${vm.name}?wait=4m`);
	}

	/** A link that signs somebody in, once. */
	async newLink(user) {
		return this.address + (await this.api('POST', '/v1/session/link', { user })).link;
	}

	async list(plural) {
		return (await this.api('GET', `/v1/${plural}?limit=1000`)).items;
	}

	create(plural, name, spec, more = {}) {
		const place = ['pools', 'users', 'roles', 'tokens', 'projects'].includes(plural) ? `/v1/${plural}` : `/v1/projects/default/${plural}`;
		return this.api('POST', `${place}?wait=4m`, { name, spec, ...more });
	}
}
