/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What VMs take now, from the server's metrics: rates are what counters grew by between two looks of the server, which
 * says when it looked. It is asked as long as somebody wants to know, as often as it looks.
 */
import { redraw } from '../base/view';
import { send } from './client';
import type { Thing } from './types';

const STEP = 10000;

export interface Use {
	cpu: number | null; // cores; null: not known yet
	memory: number; // bytes of the host
}

let uses = new Map<string, Use>(); // by "PROJECT/NAME"
let before: { at: number; seconds: Map<string, number> } | null = null;
let asked = false;
let looking = false;

/** The values of 'metric{project="default",vm="web1"} 0.04' by project and VM. */
function valuesOf(text: string, metric: string): Map<string, number> {
	const lines = text.matchAll(new RegExp(`^${metric}\\{project="([^"]*)",vm="([^"]*)"\\} (\\S+)$`, 'gm'));
	return new Map([...lines].map(([, project, vm, value]) => [`${project}/${vm}`, Number(value)]));
}

function take(text: string, at: number): void {
	const now = { at, seconds: valuesOf(text, 'cella_vm_cpu_seconds_total') };
	const cpuOf = (name: string) => {
		const grown = (now.seconds.get(name) ?? NaN) - (before?.seconds.get(name) ?? NaN);
		return grown >= 0 ? grown / (at - before!.at) : null; // less than before: it was started anew
	};
	uses = new Map([...valuesOf(text, 'cella_vm_resident_memory_bytes')].map(([name, memory]) => [name, { cpu: cpuOf(name), memory }]));
	before = now;
}

async function look(): Promise<void> {
	looking = true;
	try {
		const { text } = await send('GET', '/metrics');
		const at = Number(/^cella_sample_timestamp_seconds (\S+)$/m.exec(text)?.[1]);
		if (at !== before?.at) take(text, at);
	} catch {
		uses = new Map(); // the next look may find some
		before = null;
	}
	asked = false;
	redraw();
	setTimeout(() => {
		looking = false;
		if (asked) void look();
		else before = null;
	}, STEP);
}

/** Of all VMs that run, by "PROJECT/NAME"; another map after each look. */
export function currentUses(): Map<string, Use> {
	asked = true;
	if (!looking) void look();
	return uses;
}

export function useOf(vm: Thing): Use | undefined {
	return currentUses().get(`${vm.project}/${vm.name}`);
}
