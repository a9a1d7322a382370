/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to a new VM: image, size, network and access, name; everything else that a VM can have is in
 * the last part, made from the schema. What will be sent stands beside it, also as a command.
 */
import { attempts } from '../base/attempt';
import { h, type Self } from '../base/view';
import { bytes, count } from '../base/format';
import { go, guard, link, route } from '../base/router';
import { chosenProject } from '../base/settings';
import { create } from '../api/change';
import { collection, things } from '../api/live';
import { type Field, kindOf, presets } from '../api/schema';
import { equal, type Values } from '../api/types';
import { Button, Facts, Panel, ProblemNotice } from '../parts/basic';
import { commandLine, CopyBox, sizeWord } from '../parts/copy';
import { concerns, fieldWords, FormField, More } from '../parts/form';
import { CommonFields, NameField, nameProblem, ProjectField } from '../parts/identity';
import { hrefOf } from '../parts/link';
import { say } from '../parts/toast';
import { hasPlace, showError } from './new';
import { bootable, GIB, ImageChoice, imageRef, NetChoice, SignInFields, signInWords, SizeFields } from './vm-fields';

// What the parts above ask for, as far as it goes; the rest is for the last part.
const ASKED = ['running', 'image', 'disk-size', 'cpus', 'memory', 'cloud-init'];

/** "web1" for the image debian-12 is no better than any other; a free one of a row is. */
function freeName(image: string, taken: Set<string>): string {
	const base = image.split(/[/:]/).at(-1)!.replace(/[^a-z0-9-]/g, '-').slice(0, 40) || 'vm';
	for (let i = 1; ; i++) if (!taken.has(`${base}-${i}`)) return `${base}-${i}`;
}

/** Leaves out what the server would fill in anyway. */
function lean(spec: Values, fields: Field[]): Values {
	const standard = presets(fields);
	return Object.fromEntries(
		Object.entries(spec).filter(([name, value]) => value !== undefined && value !== '' && !equal(value, standard[name]) && !(typeof value === 'object' && !Object.keys(value as object).length)),
	);
}

/** The same by `cella run -d`, as far as its usual options go. */
function commandOf(name: string, project: string, spec: Values): string {
	const words: (string | number)[] = ['cella', 'run', '-d', '--name', name || 'NAME'];
	if (project !== 'default') words.push('--project', project);
	words.push('--cpus', spec.cpus ?? 1, '--memory', typeof spec.memory === 'number' ? sizeWord(spec.memory) : '1G');
	if (typeof spec['disk-size'] === 'number') words.push('--disk-size', sizeWord(spec['disk-size']));
	const cloud: Values = spec['cloud-init'] ?? {};
	for (const one of ['user', 'hostname']) if (cloud[one]) words.push(`--cloud-init-${one}`, cloud[one]);
	for (const one of ['keys', 'ssh-keys']) for (const key of cloud[one] ?? []) words.push(`--cloud-init-${one}`, key);
	for (const net of (spec.nets ?? []) as Values[]) if (net.network !== 'default') words.push('--nets', `network=${net.network}`);
	words.push(spec.image);
	return commandLine(words);
}

export function CreateVm(_: Values, self: Self) {
	const kind = kindOf('vm');
	const { query } = route();
	let project = query.get('project') || chosenProject() || 'default';
	const values: Values = { name: '', labels: {}, spec: { ...presets(kind.spec), running: true, memory: 2 * GIB, cpus: 2, nets: [{ network: 'default' }], 'cloud-init': {} } };
	if (query.get('image')) values.spec.image = query.get('image');
	let touched = false;
	let named = false; // by a person
	let without = false; // an image was not wanted
	const attempt = attempts(showError);

	guard(() => (touched && !attempt.busy ? 'Leave without making the VM?' : null));
	self.onRemove(() => guard(null));

	const cleanSpec = () => {
		const cloud: Values = { ...values.spec['cloud-init'] };
		const keys = ((cloud['ssh-keys'] ?? []) as string[]).map((key) => key.trim()).filter(Boolean);
		if (keys.length) cloud['ssh-keys'] = keys;
		else delete cloud['ssh-keys'];
		return lean({ ...values.spec, 'cloud-init': cloud }, kind.spec);
	};

	const body = () => ({
		name: values.name,
		...(Object.keys(values.labels ?? {}).length ? { labels: values.labels } : {}),
		...(values.notes ? { notes: values.notes } : {}),
		...(values.protected ? { protected: true } : {}),
		spec: cleanSpec(),
	});

	const submit = async (event: Event) => {
		event.preventDefault();
		await attempt.run(async () => {
			await create(kind, project, body());
			guard(null);
			say('good', `${values.name} is being made`);
			go(hrefOf('vm', project, values.name));
		});
	};

	const pickImage = (image: string | undefined) => {
		without = !image;
		if (image) values.spec.image = image;
		else delete values.spec.image;
	};

	return () => {
		const context = { project, problem: attempt.problem, changing: false };
		const { spec } = values;
		const images = bootable();
		if (!spec.image && !without && images.length && collection('image').state === 'ready') pickImage(imageRef(images[0]!, project));
		if (!named) values.name = freeName(spec.image ?? 'vm', new Set(things('vm', project).map((one) => one.name)));
		const image = images.find((one) => imageRef(one, project) === spec.image);
		const others = kind.spec.filter((field) => !ASKED.includes(field.name));
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
						{attempt.problem && !hasPlace(attempt.problem) ? <ProblemNotice problem={attempt.problem} /> : null}
						<ImageChoice spec={spec} project={project} error={concerns(attempt.problem, 'spec.image') ? fieldWords(attempt.problem!) : null} pick={pickImage} />
						<SizeFields spec={spec} problem={attempt.problem} image={image} />
						<SignInFields spec={spec} context={context} />
						<NetChoice spec={spec} project={project} />
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
								<More label="All other settings" open={!spec.image || others.some((field) => concerns(attempt.problem, `spec.${field.name}`))}>
									{() => (
										<div class="fields">
											{others.map((field) => (
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
									['Size', `${count(spec.cpus ?? 1, 'CPU')}, ${typeof spec.memory === 'number' ? bytes(spec.memory) : '–'}`],
									['Disk', spec.image ? bytes(typeof spec['disk-size'] === 'number' ? spec['disk-size'] : image?.status?.size) : 'none'],
									['Network', (spec.nets as Values[]).map((net) => net.network ?? 'default').join(', ') || 'none'],
									['Sign-in', signInWords(spec['cloud-init'])],
								]}
							/>
							<Button label="Create VM" type="submit" look="primary" busy={attempt.busy} disabled={!values.name || nameProblem(values.name) !== null} />
							<Button label="Cancel" href={link('vms')} />
						</Panel>
						{spec.image ? (
							<Panel title="The same by command">
								<CopyBox text={commandOf(values.name, project, cleanSpec())} name="the command" />
							</Panel>
						) : null}
					</aside>
				</form>
			</div>
		);
	};
}
