/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page of any object: its state and settings, a form to change it, what happened to it. */
import { type Child, h, redraw, type Root } from '../base/view';
import { bytes, words } from '../base/format';
import { link } from '../base/router';
import { act } from '../api/change';
import { collection, reload, thing as find } from '../api/live';
import { operationOn, operations } from '../api/operations';
import { type Problem, problemOf } from '../api/problem';
import { type Action, type Field, type Kind, kindOf, presets } from '../api/schema';
import { may, mayAny } from '../api/session';
import { copy, type Thing, type Values } from '../api/types';
import { Button, Empty, Facts, Labels, Loading, Meter, Notes, Notice, Panel, Pill, ProblemNotice, State, When } from '../parts/basic';
import { openDialog } from '../parts/dialog';
import { OperationLine } from '../parts/drawer';
import { Fields } from '../parts/form';
import { Menu, type MenuItem } from '../parts/menu';
import { Table } from '../parts/table';
import { complain, say } from '../parts/toast';
import { FieldValue } from '../parts/values';
import { hrefOfThing } from '../parts/link';
import { openLink } from './access';
import { AuditList } from './audit';
import { commandsItem } from './commands';
import { EditForm } from './edit';
import { wordsOf } from './kinds';
import { removeItem } from './remove';
import { openInstantiate } from './template';

export function Tabs({ base, tabs, now }: { base: string; tabs: [string, string][]; now: string }) {
	return (
		<nav class="tabs" aria-label="Parts of this page">
			{tabs.map(([id, title]) => (
				<a key={id} href={id ? `${base}/${id}` : base} aria-current={id === now ? 'page' : undefined}>
					{title}
				</a>
			))}
		</nav>
	);
}

/** Asks for the parameters of an action and carries it out. */
function ActionForm(initial: { thing: Thing; action: Action; close: () => void; onResult: ((body: Values) => void) | undefined }) {
	const { thing, action, close, onResult } = initial;
	// What the action sets and the object has is what one begins from.
	const values = presets(action.params);
	for (const field of action.params) if (field.name !== 'name' && thing.spec[field.name] !== undefined) values[field.name] = copy(thing.spec[field.name]);
	let problem: Problem | null = null;
	let busy = false;
	const submit = async (event: Event) => {
		event.preventDefault();
		busy = true;
		problem = null;
		redraw();
		try {
			const body = await act(thing, action.name, values);
			close();
			if (onResult) onResult(body);
			else say('good', `${words(action.name)}: ${thing.name}`, action.operation ? 'It is under way' : '');
		} catch (error) {
			problem = problemOf(error);
		}
		busy = false;
		redraw();
	};
	return () => (
		<form onSubmit={submit} novalidate>
			<h2>
				{words(action.name)} {thing.name}
			</h2>
			<p class="muted">{action.help.charAt(0).toUpperCase() + action.help.slice(1)}.</p>
			{problem && !action.params.some((field) => problem!.field.includes(field.name)) ? <ProblemNotice problem={problem} /> : null}
			<Fields fields={action.params} path="params" values={values} context={{ project: thing.project ?? '', problem: problem && { ...problem, message: problem.message, field: `params.${problem.field.split('.').at(-1)}` } as Problem, changing: false }} />
			<div class="dialog-actions">
				<Button label="Cancel" onClick={close} />
				<Button label={words(action.name)} type="submit" look="primary" busy={busy} />
			</div>
		</form>
	);
}

export function openAction(thing: Thing, action: Action, onResult?: (body: Values) => void): void {
	openDialog(`${words(action.name)} ${thing.name}`, (close) => <ActionForm thing={thing} action={action} close={close} onResult={onResult} />);
}

export async function run(thing: Thing, action: string, params: Values = {}): Promise<void> {
	try {
		await act(thing, action, params);
	} catch (error) {
		complain(error, `${words(action)} did not work for ${thing.name}`);
	}
}

/** What was observed and what is wanted, as facts. */
export function SpecFacts({ fields, values, project, skip = [] }: { fields: Field[]; values: Values; project: string | undefined; skip?: string[] }) {
	const rows: [string, Child][] = fields
		.filter((field) => !field.secret && !skip.includes(field.name) && !(field.list && field.type === 'object') && values[field.name] !== undefined)
		.map((field) => [words(field.name), <FieldValue field={field} value={values[field.name]} project={project} />]);
	return rows.length ? <Facts rows={rows} /> : <p class="muted small">Nothing is set.</p>;
}

/** Lists of objects in a spec or status, such as leases and rules, as tables. */
function Lists({ fields, values, project }: { fields: Field[]; values: Values; project: string | undefined }): Root {
	const lists = fields.filter((field) => field.list && field.type === 'object' && (values[field.name] as unknown[] | undefined)?.length);
	if (!lists.length) return null;
	return (
		<div class="stack">
			{lists.map((field) => (
			<Panel key={field.name} title={words(field.name)} flush id={`list-${field.name}`}>
				<Table
					label={words(field.name)}
					rows={(values[field.name] as Values[]).map((row, i) => ({ row, i }))}
					rowKey={({ i }) => String(i)}
					columns={field.fields.map((column) => ({
						id: column.name,
						title: words(column.name),
						number: column.type === 'integer',
						cell: ({ row }: { row: Values }) => <FieldValue field={column} value={row[column.name]} project={project} />,
					}))}
				/>
			</Panel>
		))}
		</div>
	);
}

function Usage({ thing }: { thing: Thing }): Root {
	const { status, spec } = thing;
	if (thing.kind === 'pool' && status?.capacity) {
		const total = spec.quota || status.capacity;
		return (
			<Panel title="Space">
				<Meter used={spec.quota ? status.used : status.capacity - status.available} total={total} label="Space in use" />
				<p class="small muted">
					{bytes(status.used)} in disks and images, which may grow to {bytes(status.provisioned)}.
				</p>
			</Panel>
		);
	}
	if ((thing.kind === 'disk' || thing.kind === 'image') && status?.size)
		return (
			<Panel title="Space">
				<Meter used={status.used ?? 0} total={status.size} label="Space in use" />
			</Panel>
		);
	return null;
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
			{thing.status?.problem ? <Notice mood="bad" title="It is not as it should be">{sentenceOf(thing.status.problem)}</Notice> : null}
			{thing.status?.warning ? <Notice mood="warn">{sentenceOf(thing.status.warning)}</Notice> : null}
			{operation ? (
				<Panel>
					<OperationLine operation={operation} all={operations()} />
				</Panel>
			) : null}
		</div>
	);
}

function sentenceOf(text: string): string {
	return text.charAt(0).toUpperCase() + text.slice(1);
}

export function Gone({ kind, name }: { kind: Kind; name: string }): Root {
	const found = collection(kind.name);
	const about = wordsOf(kind.name);
	if (found.state === 'loading') return <Loading />;
	if (found.state === 'failed') return <ProblemNotice problem={found.problem!} retry={() => reload(kind.name)} />;
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
				<AuditList filter={`uid=${thing.uid}`} short />
			</Panel>
		</div>
	);
}

/** The way from an image or a template to a VM. */
export function Makes({ thing }: { thing: Thing }) {
	if (!mayAny('create', 'vm')) return null;
	if (thing.kind === 'template') return <Button label="Create VM" icon="plus" look="primary" onClick={() => openInstantiate(thing)} />;
	if (thing.kind !== 'image') return null;
	return <Button label="Create VM" icon="plus" look="primary" disabled={thing.status?.state !== 'ready' || thing.status?.bootable === false} href={newVmFrom(thing)} />;
}

export function newVmFrom(image: Thing): string {
	return `${link('vms', 'new')}?image=${encodeURIComponent(image.name)}&project=${encodeURIComponent(image.project ?? '')}`;
}

export function KindPage({ kind, project, name, tab }: { kind: Kind; project: string | undefined; name: string; tab: string }): Root {
	const thing = find(kind.name, project, name);
	if (!thing) return <Gone kind={kind} name={name} />;
	const about = wordsOf(kind.name);
	const base = hrefOfThing(thing);
	const actions: (MenuItem | null)[] = kind.actions
		.filter((action) => action.name !== 'create' && action.name !== 'instantiate')
		.map((action) => ({
			label: words(action.name),
			allowed: may(action.verb, thing),
			run: () => (action.params.length ? openAction(thing, action) : void run(thing, action.name)),
		}));
	return (
		<div class="page">
			<Header thing={thing} kind={kind}>
				<Makes thing={thing} />
				{kind.internal || !may('change', thing) ? null : <Button label="Edit" icon="edit" href={`${base}/edit`} />}
				<Menu
					button={{ label: `Actions of ${name}`, icon: 'more', iconOnly: true }}
					items={[
						...actions,
						thing.kind === 'user' && may('change', thing) ? { label: 'Make a sign-in link', icon: 'link', run: () => openLink(thing.name) } : null,
						null,
						commandsItem(thing),
						null,
						removeItem(thing),
					]}
				/>
			</Header>
			<Tabs
				base={base}
				now={tab}
				tabs={[
					['', 'Overview'],
					...(kind.internal || !may('change', thing) ? [] : ([['edit', 'Edit']] as [string, string][])),
					['events', 'Events'],
				]}
			/>
			<Standing thing={thing} />
			{tab === 'edit' ? (
				<EditForm thing={thing} />
			) : tab === 'events' ? (
				<Trail thing={thing} />
			) : (
				<div class="stack">
					<div class="columns">
						<Usage thing={thing} />
						<Panel title="Now">
							<SpecFacts fields={kind.status} values={thing.status ?? {}} project={thing.project} skip={['problem', 'warning']} />
						</Panel>
						<Panel title="Settings">
							<SpecFacts fields={kind.spec} values={thing.spec} project={thing.project} skip={thing.kind === 'template' ? ['vm'] : []} />
						</Panel>
						{thing.kind === 'template' ? (
							<Panel title="Machine">
								<SpecFacts fields={kindOf('vm').spec} values={thing.spec.vm ?? {}} project={thing.project} />
							</Panel>
						) : null}
						<Panel title={words(about.one)}>
							<Facts
								rows={[
									['Created', <When at={thing.created} />],
									['Notes', thing.notes ? <Notes text={thing.notes} /> : null],
									['UID', <span class="mono">{thing.uid}</span>],
									['Revision', thing.revision],
								]}
							/>
						</Panel>
					</div>
					<Lists fields={kind.spec} values={thing.spec} project={thing.project} />
					<Lists fields={kind.status} values={thing.status ?? {}} project={thing.project} />
				</div>
			)}
		</div>
	);
}
