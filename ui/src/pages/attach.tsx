/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks and network cards of a VM: attached, changed, and taken away. */
import { attempts } from '../base/attempt';
import { h } from '../base/view';
import { link } from '../base/router';
import { change } from '../api/change';
import { things, thing as find } from '../api/live';
import { fieldAt, kindOf, presets } from '../api/schema';
import { copy, type Thing, type Values } from '../api/types';
import { Button, ProblemNotice } from '../parts/basic';
import { ask, openDialog } from '../parts/dialog';
import { Fields } from '../parts/form';
import { say } from '../parts/toast';

interface Part {
	member: 'disks' | 'nets';
	title: string;
	action: string;
	first: string[];
}

const disk: Part = { member: 'disks', title: 'disk', action: 'Attach', first: ['disk', 'readonly'] };
const net: Part = { member: 'nets', title: 'network card', action: 'Add', first: ['network', 'address', 'forwards'] };

function PartForm(initial: { vm: Thing; part: Part; place: number | undefined; close: () => void }) {
	const { vm, part, place, close } = initial;
	const fields = fieldAt(kindOf('vm').spec, part.member)?.fields ?? [];
	const values: Values = place === undefined ? presets(fields) : copy((vm.spec[part.member] as Values[])[place]!);
	const attempt = attempts();
	const submit = async (event: Event) => {
		event.preventDefault();
		await attempt.run(async () => {
			// The newest list: somebody else may have attached one meanwhile.
			const now = find('vm', vm.project, vm.name) ?? vm;
			const list: Values[] = copy(now.spec[part.member] ?? []);
			const at = place ?? list.length;
			list[at] = values;
			await change(now, { spec: { [part.member]: list } });
			say('good', `The ${part.title} was ${place === undefined ? 'added' : 'changed'}`);
			close();
		});
	};
	return () => {
		const path = `spec.${part.member}[${place ?? (vm.spec[part.member] as Values[] | undefined)?.length ?? 0}]`;
		const title = `${place === undefined ? part.action : 'Change'} ${part.title}`;
		return (
			<form onSubmit={submit} novalidate>
				<h2>{title}</h2>
				{attempt.problem && !attempt.problem.field.startsWith(path) ? <ProblemNotice problem={attempt.problem} /> : null}
				{part.member === 'disks' && place === undefined && !things('disk', vm.project).some((one) => !one.status?.vm) ? (
					<p class="muted">
						There is no free disk in this project. <a href={link('disks', 'new')} onClick={close}>Create one</a> first.
					</p>
				) : null}
				<Fields fields={fields} path={path} values={values} context={{ project: vm.project ?? '', problem: attempt.problem, changing: false }} first={part.first} fold />
				<div class="dialog-actions">
					<Button label="Cancel" onClick={close} />
					<Button label={place === undefined ? part.action : 'Save'} type="submit" look="primary" busy={attempt.busy} />
				</div>
			</form>
		);
	};
}

function removePart(vm: Thing, part: Part, place: number): void {
	const one = (vm.spec[part.member] as Values[])[place]!;
	ask({
		title: part.member === 'disks' ? `Detach ${one.disk}?` : `Remove network card ${place + 1}?`,
		text: part.member === 'disks' ? 'A guest that uses it loses it at once. What is on it stays.' : 'The VM is cut off from that network.',
		action: part.member === 'disks' ? 'Detach' : 'Remove',
		danger: true,
		run: async () => {
			const now = find('vm', vm.project, vm.name) ?? vm;
			const list = (now.spec[part.member] as Values[]).filter((other, i) => (part.member === 'disks' ? other.disk !== one.disk : i !== place));
			await change(now, { spec: { [part.member]: list } });
		},
	});
}

function open(vm: Thing, part: Part, place?: number, remove?: boolean): void {
	if (remove && place !== undefined) removePart(vm, part, place);
	else openDialog(part.title, (close) => <PartForm vm={vm} part={part} place={place} close={close} />);
}

export function openDisk(vm: Thing, place?: number, remove?: boolean): void {
	open(vm, disk, place, remove);
}

export function openNet(vm: Thing, place?: number, remove?: boolean): void {
	open(vm, net, place, remove);
}
