/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where objects are shown, and links there. */
import { h } from '../base/view';
import { link } from '../base/router';
import { hasKind, kindOf } from '../api/schema';
import type { Thing } from '../api/types';
import { Dash } from './basic';

/** '#/vms/default/web1', '#/pools/default'. */
export function hrefOf(kind: string, project: string | undefined, name: string): string {
	const { plural, scope } = kindOf(kind);
	return scope === 'project' ? link(plural, project || 'default', name) : link(plural, name);
}

export function hrefOfThing(thing: Thing): string {
	return hrefOf(thing.kind, thing.project, thing.name);
}

/** A reference in a spec: "NAME" in the project, or "PROJECT/NAME". */
export function RefLink({ kind, project, text }: { kind: string; project?: string | undefined; text: unknown }) {
	const name = String(text ?? '');
	if (!name) return <Dash />;
	if (!hasKind(kind) || name === '*') return <span>{name}</span>;
	const parts = name.split('/');
	const href = parts.length === 2 ? hrefOf(kind, parts[0], parts[1]!) : hrefOf(kind, project, name);
	return <a href={href}>{name}</a>;
}
