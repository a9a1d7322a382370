/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What state a VM is in, and what can be done to it then. */
import { act } from '../api/change';
import { may } from '../api/session';
import type { Thing } from '../api/types';
import { ask } from '../parts/dialog';

export function vmState(vm: Thing): string {
	if (vm.deleting) return 'deleting';
	return (vm.status?.state as string | undefined) ?? (vm.spec.running ? 'starting' : 'stopped');
}

export function isOn(vm: Thing): boolean {
	return ['running', 'paused', 'starting', 'stopping'].includes(vmState(vm));
}

export function can(vm: Thing, action: string): boolean {
	const state = vmState(vm);
	if (state === 'deleting' || !may('operate', vm)) return false;
	if (action === 'start') return ['stopped', 'crashed', 'failed'].includes(state);
	if (action === 'stop' || action === 'restart') return ['running', 'paused', 'starting'].includes(state);
	if (action === 'pause') return state === 'running';
	if (action === 'resume') return state === 'paused';
	return isOn(vm); // to reset it, or to force it off
}

export function forceStop(vm: Thing): void {
	ask({
		title: `Force ${vm.name} off?`,
		text: 'As if its power were cut: what the guest has not written is lost.',
		action: 'Force off',
		danger: true,
		run: () => act(vm, 'stop', { force: true }),
	});
}
