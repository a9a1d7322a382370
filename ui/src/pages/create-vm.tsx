/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to a new VM: image, size, network and access, name; everything else that a VM can have is in
 * the last part, made from the schema. What will be sent stands beside it, also as a command.
 */
import { type Child, h, redraw, type Self } from '../base/view';
import { bytes, exactBytes, parseBytes, words } from '../base/format';
import { go, guard, link, route } from '../base/router';
import { chosenProject } from '../base/settings';
import { create } from '../api/change';
import { collection, things } from '../api/live';
import { type Problem, problemOf } from '../api/problem';
import { fieldAt, kindOf, presets } from '../api/schema';
import { equal, type Thing, type Values } from '../api/types';
import { Button, Facts, Panel, Pill, ProblemNotice, toClipboard } from '../parts/basic';
import { concerns, FieldBox, FormField, More } from '../parts/form';
import { CommonFields, NameField, nameProblem, ProjectField } from '../parts/identity';
import { hrefOf } from '../parts/link';
import { say } from '../parts/toast';
import { hasPlace, showError } from './new';

const GIB = 1 << 30;

const sizes: { name: string; cpus: number; memory: number }[] = [
	{ name: 'Small', cpus: 1, memory: GIB },
	{ name: 'Medium', cpus: 2, memory: 2 * GIB },
	{ name: 'Large', cpus: 4, memory: 8 * GIB },
];

// What the parts above ask for; the rest is for the last part.
const ASKED = ['running', 'image', 'disk-size', 'cpus', 'memory', 'nets', 'cloud-init', 'disks'];

/** "web1" for the image debian-12 is no better than any other; a free one of a row is. */
function freeName(image: string, taken: Set<string>): string {
	const base = image.split(/[/:]/).at(-1)!.replace(/[^a-z0-9-]/g, '-').slice(0, 40) || 'vm';
	for (let i = 1; ; i++) if (!taken.has(`${base}-${i}`)) return `${base}-${i}`;
}

function shell(word: string): string {
	return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`;
}

/** Leaves out what the server would fill in anyway. */
function lean(spec: Values, fields: ReturnType<typeof kindOf>['spec']): Values {
	const standard = presets(fields);
	return Object.fromEntries(
		Object.entries(spec).filter(([name, value]) => value !== undefined && value !== '' && !equal(value, standard[name]) && !(typeof value === 'object' && !Object.keys(value as object).length)),
	);
}

export function CreateVm(_: Values, self: Self) {
	const kind = kindOf('vm');
	const { query } = route();
	let project = query.get('project') || chosenProject() || 'default';
	const values: Values = { name: '', labels: {}, spec: { ...presets(kind.spec), running: true, memory: 2 * GIB, cpus: 2, nets: [{ network: 'default' }], 'cloud-init': {} } };
	if (query.get('image')) values.spec.image = query.get('image');
	let touched = false;
	let named = false; // by a person
	let problem: Problem | null = null;
	let busy = false;
	let memory: string | null = null;
	let disk: string | null = null;

	guard(() => (touched && !busy ? 'Leave without making the VM?' : null));
	self.onRemove(() => guard(null));

	const body = () => ({
		name: values.name,
		...(Object.keys(values.labels ?? {}).length ? { labels: values.labels } : {}),
		...(values.notes ? { notes: values.notes } : {}),
		...(values.protected ? { protected: true } : {}),
		spec: lean(values.spec, kind.spec),
	});

	const submit = async (event: Event) => {
		event.preventDefault();
		busy = true;
		problem = null;
		redraw();
		try {
			await create(kind, project, body());
			guard(null);
			say('good', `${values.name} is being made`);
			go(hrefOf('vm', project, values.name));
		} catch (error) {
			problem = problemOf(error);
			showError();
		}
		busy = false;
		redraw();
	};

	const pickImage = (image: string | undefined) => {
		if (image) values.spec.image = image;
		else delete values.spec.image;
	};

	const command = () => {
		const { spec } = values;
		const parts = ['cella', 'run', '-d', '--name', values.name || 'NAME'];
		if (project !== 'default') parts.push('--project', project);
		parts.push('--cpus', String(spec.cpus), '--memory', exactBytes(spec.memory ?? GIB).replace(' ', '').replace('iB', ''));
		if (spec['disk-size']) parts.push('--disk-size', exactBytes(spec['disk-size']).replace(' ', '').replace('iB', ''));
		for (const name of ['user', 'hostname']) if (spec['cloud-init']?.[name]) parts.push(`--cloud-init-${name}`, spec['cloud-init'][name]);
		for (const key of spec['cloud-init']?.keys ?? []) parts.push('--cloud-init-keys', key);
		for (const net of spec.nets as Values[]) if (net.network !== 'default') parts.push('--nets', `network=${net.network}`);
		if (spec.image) parts.push(spec.image);
		return parts.map(shell).join(' ');
	};

	return () => {
		const context = { project, problem, changing: false };
		const images = things('image').filter((one) => one.status?.state === 'ready' && one.status?.bootable !== false);
		const refOf = (one: Thing) => (one.project === project ? one.name : `${one.project}/${one.name}`);
		const loadingImages = collection('image').state === 'loading';
		if (!values.spec.image && images.length && !loadingImages && !query.has('none')) pickImage(refOf(images[0]!));
		if (!named) values.name = freeName(values.spec.image ?? 'vm', new Set(things('vm', project).map((one) => one.name)));
		const error = (path: string) => (concerns(problem, path) ? problem!.message : null);
		const { spec } = values;
		const image = images.find((one) => refOf(one) === spec.image);
		const cloud = fieldAt(kind.spec, 'cloud-init');
		const preset = sizes.find((size) => size.cpus === spec.cpus && size.memory === spec.memory);
		const keys = things('key', project);
		return (
			<div class="page">
				<nav class="crumbs" aria-label="Where this is">
					<a href={link('vms')}>VMs</a>
					<span aria-hidden="true">/</span>
				</nav>
				<div class="title">
					<h1>New VM</h1>
				</div>
				<form
					class="wizard"
					onSubmit={submit}
					onInput={() => {
						touched = true;
					}}
					novalidate
				>
					<div class="stack">
						{problem && !hasPlace(problem) ? <ProblemNotice problem={problem} /> : null}
						<Panel title="Image">
							{images.length ? (
								<fieldset>
									<legend class="unseen">Image that its disk is made from</legend>
									<div class="choices">
										{images.map((one) => (
											<label class="choice" key={one.uid}>
												<input type="radio" name="image" checked={spec.image === refOf(one)} onChange={() => pickImage(refOf(one))} />
												<strong>{one.name}</strong>
												<span class="muted small">
													{[one.status?.os, bytes(one.status?.size), one.project !== project ? one.project : ''].filter(Boolean).join(' · ')}
												</span>
											</label>
										))}
										<label class="choice">
											<input type="radio" name="image" checked={!spec.image} onChange={() => {
												query.set('none', '1');
												pickImage(undefined);
											}} />
											<strong>No image</strong>
											<span class="muted small">disks and kernel below</span>
										</label>
									</div>
								</fieldset>
							) : (
								<p class="muted">
									{loadingImages ? 'Loading…' : ['There is no image that is ready. ', <a key="a" href={link('images', 'new')}>Upload or build one</a>, ', or set a kernel and disks below.']}
								</p>
							)}
							{error('spec.image') ? <p class="field-error">{error('spec.image')}</p> : null}
						</Panel>
						<Panel title="Size">
							<fieldset>
								<legend class="unseen">Size</legend>
								<div class="choices short">
									{sizes.map((size) => (
										<label class="choice" key={size.name}>
											<input
												type="radio"
												name="size"
												checked={preset === size}
												onChange={() => {
													spec.cpus = size.cpus;
													spec.memory = size.memory;
													memory = null;
												}}
											/>
											<strong>{size.name}</strong>
											<span class="muted small">
												{size.cpus} {size.cpus === 1 ? 'CPU' : 'CPUs'}, {bytes(size.memory)}
											</span>
										</label>
									))}
								</div>
							</fieldset>
							<div class="three">
								<FieldBox label="CPUs" error={error('spec.cpus')} hint={problem?.hint ?? ''}>
									{(ids) => (
										<input
											{...ids}
											inputmode="numeric"
											value={spec.cpus ?? ''}
											onInput={(event: Event) => {
												const text = (event.target as HTMLInputElement).value;
												spec.cpus = text === '' ? undefined : /^\d+$/.test(text) ? Number(text) : text;
											}}
										/>
									)}
								</FieldBox>
								<FieldBox label="Memory" error={error('spec.memory')} hint={problem?.hint ?? ''}>
									{(ids) => (
										<input
											{...ids}
											value={memory ?? (typeof spec.memory === 'number' ? exactBytes(spec.memory) : (spec.memory ?? ''))}
											onInput={(event: Event) => {
												memory = (event.target as HTMLInputElement).value;
												spec.memory = memory === '' ? undefined : (parseBytes(memory) ?? memory);
											}}
											onBlur={() => {
												memory = null;
											}}
										/>
									)}
								</FieldBox>
								{spec.image ? (
									<FieldBox label="Disk" error={error('spec.disk-size')} hint={problem?.hint ?? ''}>
										{(ids) => (
											<input
												{...ids}
												placeholder={image?.status?.size ? `${bytes(image.status.size)}, as the image` : 'as the image'}
												value={disk ?? (spec['disk-size'] ? exactBytes(spec['disk-size']) : '')}
												onInput={(event: Event) => {
													disk = (event.target as HTMLInputElement).value;
													spec['disk-size'] = disk === '' ? undefined : (parseBytes(disk) ?? disk);
												}}
												onBlur={() => {
													if (typeof spec['disk-size'] === 'number') disk = null;
												}}
											/>
										)}
									</FieldBox>
								) : null}
							</div>
						</Panel>
						<Panel title="Sign-in">
							<p class="small muted">Cloud-init in the guest sets these at the first start.</p>
							{cloud && spec['cloud-init'] ? (
								<div class="fields">
									{keys.length ? (
										<FieldBox label="SSH keys" group error={error('spec.cloud-init.keys')}>
											{() => (
												<div class="checks">
													{keys.map((key) => {
														const list: string[] = spec['cloud-init'].keys ?? [];
														return (
															<label class="check" key={key.uid}>
																<input
																	type="checkbox"
																	checked={list.includes(key.name)}
																	onChange={(event: Event) => {
																		spec['cloud-init'].keys = (event.target as HTMLInputElement).checked ? [...list, key.name] : list.filter((name) => name !== key.name);
																	}}
																/>
																<span>{key.name}</span>
															</label>
														);
													})}
												</div>
											)}
										</FieldBox>
									) : null}
									<div class="three">
										{['user', 'password', 'hostname'].map((name) => {
											const field = cloud.fields.find((one) => one.name === name);
											return field ? <FormField key={name} field={field} path={`spec.cloud-init.${name}`} values={spec['cloud-init']} context={context} /> : null;
										})}
									</div>
									<More label="More for cloud-init" open={Boolean(error('spec.cloud-init.user-data') ?? error('spec.cloud-init.ssh-keys'))}>
										{() => (
											<div class="fields">
												{cloud.fields
													.filter((field) => !['user', 'password', 'hostname'].includes(field.name) && !(field.name === 'keys' && keys.length))
													.map((field) => (
														<FormField key={field.name} field={field} path={`spec.cloud-init.${field.name}`} values={spec['cloud-init']} context={context} />
													))}
											</div>
										)}
									</More>
								</div>
							) : null}
						</Panel>
						<Panel title="Network">
							{kind.spec
								.filter((field) => field.name === 'nets')
								.map((field) => (
									<NetChoice key={field.name} spec={spec} project={project} />
								))}
						</Panel>
						<Panel title="Name">
							<div class="fields">
								<div
									onInput={() => {
										named = true;
									}}
								>
									<NameField values={values} context={context} />
								</div>
								<ProjectField
									kind={kind}
									project={project}
									onChange={(name) => {
										project = name;
									}}
								/>
								<div class="field">
									<label class="check">
										<input
											type="checkbox"
											checked={spec.running === true}
											onChange={(event: Event) => {
												spec.running = (event.target as HTMLInputElement).checked;
											}}
										/>
										<span>Start it at once</span>
									</label>
								</div>
								<CommonFields values={values} context={context} folded />
								<More
									label="All other settings"
									open={kind.spec.some((field) => (!ASKED.includes(field.name) || ['nets', 'disks'].includes(field.name)) && concerns(problem, `spec.${field.name}`)) || !spec.image}
								>
									{() => (
										<div class="fields">
											{kind.spec
												.filter((field) => !ASKED.includes(field.name) || field.name === 'nets' || field.name === 'disks')
												.map((field) => (
													<FormField key={field.name} field={field} path={`spec.${field.name}`} values={spec} context={context} />
												))}
										</div>
									)}
								</More>
							</div>
						</Panel>
					</div>
					<aside class="summary stack" aria-label="Summary">
						<Panel title="Summary">
							<Facts
								rows={[
									['Name', values.name],
									['Image', spec.image],
									['Size', `${spec.cpus ?? '–'} CPU, ${typeof spec.memory === 'number' ? bytes(spec.memory) : '–'}`],
									['Disk', spec.image ? bytes(typeof spec['disk-size'] === 'number' ? spec['disk-size'] : image?.status?.size) : 'none'],
									['Network', (spec.nets as Values[]).map((net) => net.network ?? 'default').join(', ') || 'none'],
									['Sign-in', signInWords(spec['cloud-init'])],
								]}
							/>
							<Button label="Create VM" type="submit" look="primary" busy={busy} disabled={!values.name || nameProblem(values.name) !== null} />
							<Button label="Cancel" href={link('vms')} />
						</Panel>
						{spec.image ? (
							<Panel title="The same by command">
								<pre class="mono small">{command()}</pre>
								<Button
									label="Copy"
									icon="copy"
									small
									onClick={async () => {
										if (await toClipboard(command())) say('good', 'Copied');
									}}
								/>
							</Panel>
						) : null}
					</aside>
				</form>
			</div>
		);
	};
}

function signInWords(cloud: Values | undefined): Child {
	const ways = [
		cloud?.keys?.length || cloud?.['ssh-keys']?.length ? 'SSH key' : '',
		cloud?.password ? 'password' : '',
	].filter(Boolean);
	return ways.length ? ways.join(', ') : <Pill mood="warn">as the image is</Pill>;
}

function NetChoice({ spec, project }: { spec: Values; project: string }): Child {
	const nets = things('network', project);
	const nics: Values[] = spec.nets ?? [];
	const chosen = nics[0]?.network as string | undefined;
	const names = nets.map((one) => one.name);
	const all = names.includes('default') || names.length ? names : ['default'];
	return (
		<fieldset>
			<legend class="unseen">Network</legend>
			<div class="choices">
				{all.map((name) => {
					const one = nets.find((net) => net.name === name);
					return (
						<label class="choice" key={name}>
							<input
								type="radio"
								name="network"
								checked={nics.length > 0 && (chosen ?? 'default') === name}
								onChange={() => {
									spec.nets = [{ ...nics[0], network: name }, ...nics.slice(1)];
								}}
							/>
							<strong>{name}</strong>
							<span class="muted small">
								{[one ? { user: 'NAT of its own', nat: 'bridge with NAT', bridge: 'bridge of the host' }[one.spec.type as string] : '', one?.status?.subnet].filter(Boolean).join(' · ') || words('network')}
							</span>
						</label>
					);
				})}
				<label class="choice">
					<input
						type="radio"
						name="network"
						checked={!nics.length}
						onChange={() => {
							spec.nets = [];
						}}
					/>
					<strong>None</strong>
					<span class="muted small">reached by its console alone</span>
				</label>
			</div>
		</fieldset>
	);
}
