/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deleting one object, after a question. */
import { h } from '../base/view';
import { go, link, route } from '../base/router';
import { remove } from '../api/change';
import { kindOf } from '../api/schema';
import { may } from '../api/session';
import type { Thing } from '../api/types';
import { ask } from '../parts/dialog';
import { hrefOfThing } from '../parts/link';
import type { MenuItem } from '../parts/menu';
import { say } from '../parts/toast';
import { wordsOf } from './kinds';

const LOSES: Record<string, string> = {
	vm: 'The VM ends at once if it runs. Disks that were made with it go as well, unless they are set to be kept.',
	disk: 'What is on the disk is gone for good.',
	image: 'Disks that keep only what differs from it must go first.',
	project: 'It must be empty.',
	token: 'Whoever uses it is shut out at once.',
	user: 'Their sessions and tokens end at once.',
};

function openRemove(thing: Thing): void {
	const { one } = wordsOf(thing.kind);
	ask({
		title: `Delete ${one} ${thing.name}?`,
		text: <span>{LOSES[thing.kind] ?? 'This cannot be undone.'}</span>,
		action: 'Delete',
		danger: true,
		...(thing.kind === 'disk' || (thing.kind === 'vm' && thing.status?.state === 'running') ? { typed: thing.name } : {}),
		run: async () => {
			await remove(thing);
			say('good', `Deleting ${thing.name}`);
			// Its own page goes with it.
			if (`#/${route().path.join('/')}`.startsWith(decodeURIComponent(hrefOfThing(thing)))) go(link(kindOf(thing.kind).plural));
		},
	});
}

export function removeItem(thing: Thing): MenuItem {
	return {
		label: 'Delete',
		icon: 'trash',
		danger: true,
		allowed: may('delete', thing),
		disabled: thing.protected || thing.deleting === true,
		hint: thing.protected ? 'Protected from deletion: Edit takes that away' : '',
		run: () => openRemove(thing),
	};
}
