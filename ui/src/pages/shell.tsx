/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is around every page: the side with all places, the head with search and operations, and the page itself. */
import { h, type Root } from '../base/view';
import { link, route } from '../base/router';
import { chooseProject, chooseTheme, chosenProject, chosenTheme, type Theme } from '../base/settings';
import { count, lower, words } from '../base/format';
import { collection, connectionState, things } from '../api/live';
import { runningOperations } from '../api/operations';
import { allKinds } from '../api/schema';
import { currentSession, mayAny, signOut } from '../api/session';
import { Button } from '../parts/basic';
import { openOperations } from '../parts/drawer';
import { Icon, Logo } from '../parts/icon';
import { allShortcuts, shortcut } from '../parts/keys';
import { openDialog } from '../parts/dialog';
import { Menu } from '../parts/menu';
import { type Command, openPalette } from '../parts/palette';
import { complain } from '../parts/toast';
import { openPassword, openSessions } from './access';
import { page } from './pages';

interface Place {
	title: string;
	icon: string;
	path: string;
	kind?: string; // is offered to those who may read some of it
}

const groups: { title: string; places: Place[] }[] = [
	{ title: '', places: [{ title: 'Overview', icon: 'overview', path: '' }] },
	{
		title: 'Compute',
		places: [
			{ title: 'VMs', icon: 'vm', path: 'vms', kind: 'vm' },
			{ title: 'Templates', icon: 'template', path: 'templates', kind: 'template' },
		],
	},
	{
		title: 'Storage',
		places: [
			{ title: 'Disks', icon: 'disk', path: 'disks', kind: 'disk' },
			{ title: 'Images', icon: 'image', path: 'images', kind: 'image' },
			{ title: 'Pools', icon: 'pool', path: 'pools', kind: 'pool' },
		],
	},
	{
		title: 'Network',
		places: [
			{ title: 'Networks', icon: 'network', path: 'networks', kind: 'network' },
			{ title: 'Security groups', icon: 'security-group', path: 'security-groups', kind: 'security-group' },
		],
	},
	{
		title: 'Access',
		places: [
			{ title: 'Users', icon: 'user', path: 'users', kind: 'user' },
			{ title: 'Roles', icon: 'role', path: 'roles', kind: 'role' },
			{ title: 'Tokens', icon: 'token', path: 'tokens', kind: 'token' },
			{ title: 'SSH keys', icon: 'key', path: 'keys', kind: 'key' },
		],
	},
	{
		title: 'Server',
		places: [
			{ title: 'Projects', icon: 'project', path: 'projects', kind: 'project' },
			{ title: 'Host', icon: 'node', path: 'nodes', kind: 'node' },
			{ title: 'Operations', icon: 'operation', path: 'operations' },
			{ title: 'Audit', icon: 'audit', path: 'audit', kind: 'user' },
		],
	},
];

/** Kinds that the server has and this table does not know get a place as well. */
function allGroups(): typeof groups {
	const known = new Set(groups.flatMap((group) => group.places.map((place) => place.kind)));
	const more = allKinds()
		.filter((kind) => !known.has(kind.name) && !kind.internal && mayAny('read', kind.name))
		.map((kind) => ({ title: words(kind.plural), icon: 'info', path: kind.plural, kind: kind.name }));
	const shown = groups.map((group) => ({ ...group, places: group.places.filter((place) => !place.kind || mayAny('read', place.kind)) }));
	return [...shown, { title: 'More', places: more }].filter((group) => group.places.length);
}

let sideOpen = false;

function Side() {
	const first = route().path[0] ?? '';
	const leave = () => {
		sideOpen = false;
	};
	const vms = mayAny('read', 'vm') && collection('vm').state === 'ready' ? things('vm', chosenProject()).length : null;
	return (
		<nav class={`side${sideOpen ? ' open' : ''}`} aria-label="Places" id="side">
			<a class="brand" href="#/" onClick={leave}>
				<Logo />
				Cella
			</a>
			{allGroups().map((group) => (
				<div key={group.title}>
					{group.title ? <h2>{group.title}</h2> : null}
					<ul>
						{group.places.map((place) => (
							<li key={place.path}>
								<a href={place.path ? link(place.path) : '#/'} aria-current={first === place.path ? 'page' : undefined} onClick={leave}>
									<Icon name={place.icon} />
									{place.title}
									{place.kind === 'vm' && vms !== null ? <span class="tally">{vms}</span> : null}
								</a>
							</li>
						))}
					</ul>
				</div>
			))}
			<div class="foot">
				Press <kbd>?</kbd> for keys
			</div>
		</nav>
	);
}

function ProjectMenu() {
	if (!mayAny('read', 'project')) return null;
	const projects = things('project');
	const chosen = chosenProject();
	// One that went is not held on to.
	if (chosen && collection('project').state === 'ready' && !projects.some((one) => one.name === chosen)) chooseProject('');
	if (projects.length < 2) return null;
	return (
		<Menu
			label="Project"
			button={{ label: chosen || 'All projects', icon: 'project', look: 'quiet', title: 'Show what belongs to a project' }}
			items={[
				{ label: 'All projects', checked: !chosen, run: () => chooseProject('') },
				null,
				...projects.map((one) => ({ label: one.name, checked: one.name === chosen, run: () => chooseProject(one.name) })),
			]}
		/>
	);
}

const themes: [Theme, string, string][] = [
	['auto', 'As the system', 'auto'],
	['light', 'Light', 'sun'],
	['dark', 'Dark', 'moon'],
];

function Head() {
	const session = currentSession()!;
	const running = runningOperations().length;
	const connection = connectionState();
	return (
		<header class="head">
			<Button
				label="Places"
				icon="menu"
				iconOnly
				look="quiet"
				onClick={() => {
					sideOpen = !sideOpen;
				}}
				attributes={{ class: 'button quiet icon-only menu-button', 'aria-expanded': String(sideOpen), 'aria-controls': 'side' }}
			/>
			<button type="button" class="finder" onClick={() => openPalette(commands())}>
				<Icon name="search" />
				<span class="words">Go to…</span>
				<kbd>Ctrl K</kbd>
			</button>
			{connection === 'lost' ? (
				<span class="offline" role="status">
					<span class="spinner" aria-hidden="true" />
					Reconnecting
				</span>
			) : null}
			<ProjectMenu />
			<Button
				label={running ? count(running, 'operation') : 'Operations'}
				icon="operation"
				look="quiet"
				iconOnly={!running}
				title="Operations (o)"
				onClick={openOperations}
			/>
			<Menu
				label="Theme"
				button={{ label: 'Theme', icon: themes.find(([name]) => name === chosenTheme())?.[2] ?? 'auto', iconOnly: true, look: 'quiet' }}
				items={themes.map(([name, title]) => ({ label: title, checked: chosenTheme() === name, run: () => chooseTheme(name) }))}
			/>
			<Menu
				label="Account"
				button={{ label: session.user, icon: 'user', look: 'quiet', attributes: { 'aria-label': `Account of ${session.user}` } }}
				above={
					<div>
						<b>{session.fullName || session.user}</b>
						<div class="small muted">{session.root ? 'may do everything' : session.user}</div>
					</div>
				}
				items={[
					{ label: 'Change password', icon: 'lock', run: openPassword, disabled: session.user === 'root' },
					{ label: 'Sessions', icon: 'user', run: openSessions },
					{ label: 'Keyboard', icon: 'keyboard', run: openShortcuts },
					{ label: 'API reference', icon: 'link', href: '#/api' },
					null,
					{ label: 'Sign out', icon: 'out', run: () => void signOut().catch(complain) },
				]}
			/>
		</header>
	);
}

function commands(): Command[] {
	const pages = allGroups().flatMap((group) =>
		group.places.map((place) => ({ title: place.title, icon: place.icon, note: 'page', run: () => void (location.hash = place.path ? link(place.path) : '#/') })),
	);
	const makers = allKinds()
		.filter((kind) => !kind.internal && mayAny('create', kind.name))
		.map((kind) => ({
			title: `Create ${lower(words(kind.name))}`,
			icon: 'plus',
			note: 'action',
			run: () => void (location.hash = link(kind.plural, 'new')),
		}));
	return [
		...pages,
		...makers,
		{ title: 'Show operations', icon: 'operation', note: 'action', run: openOperations },
		...themes.map(([name, title]) => ({ title: `Theme: ${title.toLowerCase()}`, icon: 'sun', note: 'action', run: () => chooseTheme(name) })),
		{ title: 'Sign out', icon: 'out', note: 'action', run: () => void signOut().catch(complain) },
	];
}

function openShortcuts(): void {
	openDialog('Keyboard', (close) => (
		<div class="stack">
			<h2>Keyboard</h2>
			<div class="shortcuts">
				{allShortcuts().flatMap((one) => [
					<span key={one.keys}>
						{one.keys.split(' ').map((key, i) => (
							<span key={i}>
								<kbd>{key}</kbd>{' '}
							</span>
						))}
					</span>,
					<span key={`${one.keys}-words`}>{one.words}</span>,
				])}
				<span>
					<kbd>↑</kbd> <kbd>↓</kbd>
				</span>
				<span>move in a table or a graph; Enter opens, x chooses a row</span>
			</div>
			<div class="dialog-actions">
				<Button label="Close" onClick={close} attributes={{ autofocus: true }} />
			</div>
		</div>
	), 'small');
}

export function startShell(): void {
	shortcut('Ctrl K', 'go to any page, object or action', () => {
		if (currentSession()) openPalette(commands());
	});
	shortcut('/', 'search in the list', () => document.querySelector<HTMLElement>('.search input')?.focus());
	shortcut('c', 'create a VM', '#/vms/new');
	shortcut('o', 'show operations', () => {
		if (currentSession()) openOperations();
	});
	shortcut('g o', 'go to the overview', '#/');
	shortcut('g v', 'go to VMs', '#/vms');
	shortcut('g d', 'go to disks', '#/disks');
	shortcut('g i', 'go to images', '#/images');
	shortcut('g n', 'go to networks', '#/networks');
	shortcut('g p', 'go to pools', '#/pools');
	shortcut('g a', 'go to the audit log', '#/audit');
	shortcut('?', 'show these keys', openShortcuts);
}

export function Shell(): Root {
	const path = route().path;
	const kind = allKinds().find((one) => one.plural === path[0]);
	return (
		<div class="shell">
			<nav aria-label="Skip">
				<a
					class="skip"
					href="#/"
					onClick={(event: Event) => {
						event.preventDefault();
						document.querySelector<HTMLElement>('.main')?.focus();
					}}
				>
					Skip to the page
				</a>
			</nav>
			<Side />
			{sideOpen ? (
				<button
					type="button"
					class="shade"
					aria-label="Close places"
					onClick={() => {
						sideOpen = false;
					}}
				/>
			) : null}
			<Head />
			<main class="main" tabindex="-1" key={kind ? `${path.slice(0, 3).join('/')}` : path[0]}>
				{page(path)}
			</main>
		</div>
	);
}
