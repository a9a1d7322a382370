/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page of any object: its state and settings, a form to change it, what happened to it. */
import { type Child, h, type Root } from '../base/view';
import { bytes, words } from '../base/format';
import { link } from '../base/router';
import { thing as find } from '../api/live';
import { type Field, type Kind, kindOf } from '../api/schema';
import { may, mayAny } from '../api/session';
import type { Thing, Values } from '../api/types';
import { Button, Facts, Meter, Notes, Panel, When } from '../parts/basic';
import { hrefOfThing } from '../parts/link';
import { Menu, type MenuItem } from '../parts/menu';
import { Table } from '../parts/table';
import { FieldValue } from '../parts/values';
import { openLink } from './access';
import { openAction, run } from './action';
import { commandsItem } from './commands';
import { EditForm } from './edit';
import { wordsOf } from './kinds';
import { Gone, Header, Standing, type TabList, tabOf, Tabs, Trail } from './page-parts';
import { removeItem } from './remove';
import { openInstantiate } from './template';

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

export function KindPage({ kind, project, name, tab: named }: { kind: Kind; project: string | undefined; name: string; tab: string }): Root {
	const thing = find(kind.name, project, name);
	if (!thing) return <Gone kind={kind} name={name} />;
	const about = wordsOf(kind.name);
	const base = hrefOfThing(thing);
	const changes = !kind.internal && may('change', thing);
	const tabs: TabList = [['', 'Overview'], ...(changes ? ([['edit', 'Edit']] as TabList) : []), ['events', 'Events']];
	const tab = tabOf(tabs, named);
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
				{changes ? <Button label="Edit" icon="edit" href={`${base}/edit`} /> : null}
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
			<Tabs base={base} now={tab} tabs={tabs} />
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
