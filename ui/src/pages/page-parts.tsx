/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pages of objects have in common: the head, the tabs, what stands in the way, and what happened. */
import { type Child, h, type Root } from '../base/view';
import { lower, sentence } from '../base/format';
import { link } from '../base/router';
import { collection, reload } from '../api/live';
import { operationOn, operations } from '../api/operations';
import type { Kind } from '../api/schema';
import type { Thing } from '../api/types';
import { Button, Empty, Labels, Loading, Notice, Panel, Pill, ProblemNotice, State } from '../parts/basic';
import { OperationLine } from '../parts/drawer';
import { AuditOf } from './audit';
import { wordsOf } from './kinds';

export type TabList = [id: string, title: string][];

interface TabsProps {
	base: string;
	tabs: TabList;
	now: string;
}

/** The one that the address names, if there is such a one for who is signed in; else the first. */
export function tabOf(tabs: TabList, named: string): string {
	return tabs.some(([id]) => id === named) ? named : tabs[0]![0];
}

export function Tabs(_: TabsProps) {
	let box: HTMLElement | null = null;
	let before = '';
	return ({ base, tabs, now }: TabsProps) => {
		// On a phone there are more of them than fit.
		if (now !== before) requestAnimationFrame(() => box?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' }));
		before = now;
		return (
			<nav
				class="tabs"
				aria-label="Parts of this page"
				ref={(dom: HTMLElement) => {
					box = dom;
				}}
			>
				{tabs.map(([id, title]) => (
					<a key={id} href={id ? `${base}/${id}` : base} aria-current={id === now ? 'page' : undefined}>
						{title}
					</a>
				))}
			</nav>
		);
	};
}

export function Header({ thing, kind, children }: { thing: Thing; kind: Kind; children?: Child }) {
	const about = wordsOf(kind.name);
	return (
		<div class="stack tight">
			<nav class="crumbs" aria-label="Where this is">
				<a href={link(kind.plural)}>{about.many}</a>
				<span aria-hidden="true">/</span>
				{thing.project ? <span>{thing.project}</span> : null}
			</nav>
			<div class="title">
				<h1>{thing.name}</h1>
				{thing.deleting ? <State state="deleting" /> : thing.status?.state ? <State state={thing.status.state} /> : null}
				{thing.protected ? (
					<Pill title="Cannot be deleted while this is set">protected</Pill>
				) : null}
				{Object.keys(thing.labels ?? {}).length ? <Labels labels={thing.labels} /> : null}
				<div class="actions">{children}</div>
			</div>
		</div>
	);
}

/** What stands in the way of an object, and what is being done to it. */
export function Standing({ thing }: { thing: Thing }): Root {
	const operation = operationOn(thing.uid);
	if (!operation && !thing.status?.problem && !thing.status?.warning) return null;
	return (
		<div class="stack tight">
			{thing.status?.problem ? <Notice mood="bad" title="It is not as it should be">{sentence(thing.status.problem)}</Notice> : null}
			{thing.status?.warning ? <Notice mood="warn">{sentence(thing.status.warning)}</Notice> : null}
			{operation ? (
				<Panel>
					<OperationLine operation={operation} all={operations()} />
				</Panel>
			) : null}
		</div>
	);
}

/** Why a list could not be read. */
export function Unread({ kind }: { kind: Kind }): Root {
	const problem = collection(kind.name).problem!;
	if (problem.status !== 403) return <ProblemNotice problem={problem} retry={() => reload(kind.name)} />;
	return (
		<section class="panel">
			<Empty icon="lock" title={`You may not see ${lower(wordsOf(kind.name).many)}`}>
				Who manages users can give you a role that may.
			</Empty>
		</section>
	);
}

export function Gone({ kind, name }: { kind: Kind; name: string }): Root {
	const found = collection(kind.name);
	const about = wordsOf(kind.name);
	if (found.state === 'loading') return <Loading />;
	if (found.state === 'failed') return <Unread kind={kind} />;
	return (
		<Empty icon={about.icon} title={`There is no ${about.one} ${name}`} action={<Button label={`To ${about.many}`} href={link(kind.plural)} />}>
			It may have been deleted or renamed.
		</Empty>
	);
}

export function Trail({ thing }: { thing: Thing }): Root {
	const all = operations();
	const own = all.filter((one) => one.spec.resource?.uid === thing.uid);
	return (
		<div class="halves">
			<Panel title="Operations">
				{own.length ? (
					<div>
						{own.slice(0, 30).map((one) => (
							<OperationLine key={one.uid} operation={one} all={all} />
						))}
					</div>
				) : (
					<p class="muted small">None that are still remembered.</p>
				)}
			</Panel>
			<Panel title="Changes" flush>
				<AuditOf filter={`uid=${thing.uid}`} />
			</Panel>
		</div>
	);
}
