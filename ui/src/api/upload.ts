/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Uploads of images, in parts, so that a broken line costs one part: the server is asked how much has
 * arrived, and the rest follows. They go on while other pages are shown.
 */
import { redraw } from '../base/view';
import { send } from './client';
import { Problem, problemOf } from './problem';

const PART = 16 << 20;
const TRIES = 6;

export interface Upload {
	path: string; // of the image
	name: string;
	file: File;
	sent: number;
	rate: number; // bytes a second
	state: 'running' | 'done' | 'failed' | 'cancelled';
	problem: Problem | null;
	abort: AbortController;
}

let uploads: Upload[] = [];

export function allUploads(): Upload[] {
	return uploads;
}

addEventListener('beforeunload', (event) => {
	if (uploads.some((one) => one.state === 'running')) event.preventDefault();
});

async function arrived(upload: Upload): Promise<number> {
	const { body } = await send('GET', upload.path);
	return Number(body.status?.received ?? 0);
}

/** One part, by the only interface that tells how far a body is. */
function put(upload: Upload, from: number, to: number): Promise<void> {
	return new Promise((resolve, reject) => {
		const request = new XMLHttpRequest();
		const began = performance.now();
		request.open('PUT', `${upload.path}/content`);
		request.setRequestHeader('content-type', 'application/octet-stream');
		request.setRequestHeader('content-range', `bytes ${from}-${to - 1}/${upload.file.size}`);
		request.upload.onprogress = (event) => {
			upload.sent = from + event.loaded;
			const seconds = (performance.now() - began) / 1000;
			if (seconds > 0.2) upload.rate = event.loaded / seconds;
			redraw();
		};
		request.onload = () => {
			if (request.status < 300) {
				resolve();
				return;
			}
			let error: Record<string, string> = {};
			try {
				error = JSON.parse(request.responseText).error ?? {};
			} catch {
				error = {};
			}
			reject(new Problem(request.status, error.code ?? 'internal', error.message ?? `the server answered ${request.status}`, error.hint, error.field));
		};
		request.onerror = () => reject(new TypeError('the connection broke'));
		request.onabort = () => reject(new Problem(0, 'cancelled', 'it was cancelled'));
		upload.abort.signal.addEventListener('abort', () => request.abort(), { once: true });
		request.send(upload.file.slice(from, to));
	});
}

async function carry(upload: Upload): Promise<void> {
	let tries = 0;
	let from = 0;
	while (from < upload.file.size) {
		try {
			const to = Math.min(from + PART, upload.file.size);
			await put(upload, from, to);
			from = to;
			tries = 0;
		} catch (error) {
			const problem = problemOf(error);
			const passing = problem.status === 0 || problem.status === 416 || problem.status === 409 || problem.status >= 500;
			if (upload.abort.signal.aborted || !passing || ++tries > TRIES || problem.code === 'no-space') throw problem;
			await new Promise((done) => setTimeout(done, 400 * 2 ** tries));
			from = await arrived(upload).catch(() => from);
		}
		upload.sent = from;
		redraw();
	}
}

/** Sends the file as the content of the image at `path`, from where an earlier upload broke off. */
export function startUpload(path: string, name: string, file: File): Upload {
	const upload: Upload = { path, name, file, sent: 0, rate: 0, state: 'running', problem: null, abort: new AbortController() };
	uploads = [...uploads.filter((one) => one.path !== path), upload];
	void (async () => {
		try {
			await carry(upload);
			upload.state = 'done';
		} catch (error) {
			upload.problem = problemOf(error);
			upload.state = upload.abort.signal.aborted ? 'cancelled' : 'failed';
		}
		redraw();
	})();
	redraw();
	return upload;
}
