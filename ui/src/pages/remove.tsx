/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deleting objects, after a question that says what goes along and what stays. What the server would refuse is not
 * asked about: why it stands in the way is said instead.
 */
import { h, type Root } from '../base/view';
import { bytes, count, lower, sentence, some } from '../base/format';
import { go, link, route } from '../base/router';
import { cutPower, doAll, remove } from '../api/change';
import { thing as find, things } from '../api/live';
import { kindOf } from '../api/schema';
import { may, mayAny } from '../api/session';
import type { Thing, Values } from '../api/types';
import { Button } from '../parts/basic';
import { ask, openDialog } from '../parts/dialog';
import { hrefOfThing } from '../parts/link';
import type { MenuItem } from '../parts/menu';
import { say } from '../parts/toast';
import { wordsOf } from './kinds';
import { isOn } from './vm-state';

const LOSES: Record<string, string> = {
	vm: 'Its settings and its console\'s log are gone for good.',
	disk: 'What is on it is gone for good.',
	image: 'It is gone for good. Disks that are full copies of it stay.',
	token: 'Whoever uses it is shut out at once.',
	user: 'Their sessions and tokens end at once.',
};

// ---- what stands in the way ----

function known(kind: string): Thing[] {
	return mayAny('read', kind) ? things(kind) : [];
}

/** Whether a name in the spec of `from`, "NAME" or "PROJECT/NAME", means `to`. */
function means(from: Thing, name: unknown, to: Thing): boolean {
	return (name === to.name && from.project === to.project) || name === `${to.project}/${to.name}`;
}

const hasDisk = (vm: Thing, disk: Thing) => ((vm.spec.disks ?? []) as Values[]).some((one) => means(vm, one.disk, disk));

/** Those that need it, and what is to be done about them. */
const needs: Record<string, { of: (thing: Thing) => Thing[]; why: string; way: string }> = {
	disk: { of: (disk) => known('vm').filter((vm) => hasDisk(vm, disk)), why: 'It belongs to', way: 'Detach it there first, or delete the VM.' },
	image: {
		of: (image) => [
			...known('vm').filter((vm) => means(vm, vm.spec.image, image)),
			...known('disk').filter((disk) => disk.spec.linked && means(disk, disk.spec.image, image)),
		],
		why: 'It is needed by',
		way: 'Delete them first.',
	},
	network: {
		of: (network) => known('vm').filter((vm) => ((vm.spec.nets ?? []) as Values[]).some((net) => means(vm, net.network ?? 'default', network))),
		why: 'It is needed by',
		way: 'Delete them first, or put them on another network.',
	},
	pool: { of: (pool) => [...known('disk'), ...known('image')].filter((one) => one.spec.pool === pool.name), why: 'It still holds', way: 'Delete them first.' },
};

/** Why it cannot be deleted now, in short and as a sentence; null: nothing is known that says so. */
function obstacle(thing: Thing): { short: string; long: string } | null {
	if (thing.kind === 'role' && thing.status?.builtin) return { short: 'built in', long: 'It comes with Cella and always stays.' };
	if (thing.kind === 'project' && thing.name === 'default') return { short: 'always there', long: 'This project always stays.' };
	if (!may('delete', thing)) return { short: 'not yours to delete', long: 'You may not delete it.' };
	if (thing.protected) return { short: 'protected', long: 'It is protected from deletion. Edit it and switch the protection off first.' };
	if (thing.kind === 'vm' && isOn(thing) && !may('operate', thing)) return { short: 'running', long: 'It runs. Somebody who may stop it has to do so first.' };
	const need = needs[thing.kind];
	const users = need?.of(thing) ?? [];
	if (!need || !users.length) return null;
	const names = users.map((one) => `${wordsOf(one.kind).one} ${one.name}`);
	return { short: `needed by ${some(names, 1)}`, long: `${need.why} ${some(names, 5)}. ${need.way}` };
}

function openRefusal(title: string, why: string, editable?: Thing): void {
	openDialog(
		title,
		(close) => (
			<div class="stack">
				<h2>{title}</h2>
				<p class="muted">{why}</p>
				<div class="dialog-actions">
					<Button label="Close" onClick={close} attributes={{ autofocus: true }} />
					{editable ? <Button label="Edit it" look="primary" href={`${hrefOfThing(editable)}/edit`} onClick={close} /> : null}
				</div>
			</div>
		),
		'small',
	);
}

// ---- what goes along ----

/** Disks of machines: those that were made with them go, if nothing keeps them. */
function disksOf(vms: Thing[]): { gone: Thing[]; kept: Thing[] } {
	const all = vms.flatMap((vm) => ((vm.spec.disks ?? []) as Values[]).flatMap((one) => (mayAny('read', 'disk') && find('disk', vm.project, String(one.disk))) || []));
	const stays = (disk: Thing) => disk.spec.keep || disk.protected;
	return { gone: all.filter((disk) => !stays(disk)), kept: all.filter(stays) };
}

function DiskNames({ title, disks }: { title: string; disks: Thing[] }): Root {
	if (!disks.length) return null;
	return (
		<div class="fate">
			<b>{title}</b>
			<ul>
				{disks.slice(0, 8).map((disk) => (
					<li key={disk.uid}>
						disk {disk.name} <span class="faint">{bytes(disk.status?.size ?? disk.spec.size)}</span>
					</li>
				))}
				{disks.length > 8 ? <li key="more">and {disks.length - 8} more</li> : null}
			</ul>
		</div>
	);
}

/** Of what is deleted, drawn anew when more of it is known. */
function Fate({ list }: { list: Thing[] }): Root {
	const { kind } = list[0]!;
	const running = kind === 'vm' ? list.filter(isOn) : [];
	const { gone, kept } = disksOf(kind === 'vm' ? list : []);
	const it = list.length === 1;
	const tokens = kind === 'user' ? known('token').filter((token) => list.some((user) => token.spec.user === user.name)) : [];
	return (
		<div class="stack tight">
			{it ? null : <span>{some(list.map((thing) => thing.name))}</span>}
			{running.length ? (
				<span>
					{it ? 'It runs' : running.length === list.length ? 'They run' : `${count(running.length, 'of them runs', 'of them run')} (${some(running.map((vm) => vm.name), 5)})`}: what runs is
					forced off first, as if its power were cut.
				</span>
			) : null}
			<DiskNames title={it ? 'Goes with it, with all that is on it' : 'Go with them, with all that is on them'} disks={gone} />
			<DiskNames title="Stays" disks={kept} />
			{tokens.length ? <span>Tokens that go along: {some(tokens.map((token) => token.name))}.</span> : null}
			<span>{(it ? LOSES[kind] : kind === 'disk' ? 'What is on them is gone for good.' : null) ?? 'This cannot be undone.'}</span>
		</div>
	);
}

// ---- the question ----

async function removeOne(thing: Thing): Promise<void> {
	const now = find(thing.kind, thing.project, thing.name) ?? thing;
	if (now.kind === 'vm' && isOn(now)) await cutPower(now);
	await remove(now);
}

/** Its own page goes with it. */
function leavePageOf(thing: Thing): void {
	const place = decodeURIComponent(hrefOfThing(thing));
	const shown = `#/${route().path.join('/')}`;
	if (shown === place || shown.startsWith(`${place}/`)) go(link(kindOf(thing.kind).plural));
}

/** Asks and deletes; `done` when that has begun. All of them are of a kind. */
export function openRemove(things: Thing[], done?: () => void): void {
	const { one, many } = wordsOf(things[0]!.kind);
	const hindered = things.map((thing) => ({ thing, why: obstacle(thing) }));
	const list = hindered.filter(({ why }) => !why).map(({ thing }) => thing);
	const left = hindered.flatMap(({ thing, why }) => (why ? [`${thing.name} (${why.short})`] : []));
	const first = list[0];
	if (!first) {
		const { thing, why } = hindered[0]!;
		if (things.length > 1) openRefusal(`None of these ${lower(many)} can be deleted`, `${some(left)}.`);
		else openRefusal(`${sentence(one)} ${thing.name} cannot be deleted`, why!.long, thing.protected && may('change', thing) ? thing : undefined);
		return;
	}
	const single = list.length === 1;
	const typed = single ? (first.kind === 'disk' || (first.kind === 'vm' && isOn(first)) ? first.name : '') : list.length > 3 ? 'delete' : '';
	const cuts = first.kind === 'vm' && list.some(isOn);
	ask({
		title: single ? `Delete ${one} ${first.name}?` : `Delete ${count(list.length, one, lower(many))}?`,
		text: (
			<div class="stack tight">
				<Fate list={list} />
				{left.length ? <span>Left alone: {some(left)}.</span> : null}
			</div>
		),
		action: cuts ? 'Force off and delete' : 'Delete',
		danger: true,
		...(typed ? { typed } : {}),
		run: async () => {
			await doAll(list, removeOne);
			say('good', single ? `Deleting ${first.name}` : `Deleting ${count(list.length, one, lower(many))}`);
			done?.();
			if (single) leavePageOf(first);
		},
	});
}

export function removeItem(thing: Thing): MenuItem {
	return {
		label: 'Delete',
		icon: 'trash',
		danger: true,
		allowed: may('delete', thing),
		disabled: thing.deleting === true,
		run: () => openRemove([thing]),
	};
}
