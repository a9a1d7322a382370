/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the form for a new VM that are made by hand: image, size, sign-in, network. */
import { type Child, h, type Root } from '../base/view';
import { bytes, exactBytes, words } from '../base/format';
import { link } from '../base/router';
import { collection, things } from '../api/live';
import type { Problem } from '../api/problem';
import { fieldAt, kindOf } from '../api/schema';
import type { Thing, Values } from '../api/types';
import { Panel, Pill } from '../parts/basic';
import { concerns, FieldBox, fieldWords, type FormContext, FormField, More } from '../parts/form';
import { numberOf, SizeInput } from '../parts/inputs';

export const GIB = 1 << 30;

const sizes: { name: string; cpus: number; memory: number }[] = [
	{ name: 'Small', cpus: 1, memory: GIB },
	{ name: 'Medium', cpus: 2, memory: 2 * GIB },
	{ name: 'Large', cpus: 4, memory: 8 * GIB },
];

/** An image as a VM of the project names it. */
export function imageRef(image: Thing, project: string): string {
	return image.project === project ? image.name : `${image.project}/${image.name}`;
}

/** Those that boot. */
export function bootable(): Thing[] {
	return things('image').filter((one) => one.status?.state === 'ready' && one.status?.bootable !== false);
}

function Choice(props: { group: string; checked: boolean; choose: () => void; title: string; note: Child }) {
	return (
		<label class="choice">
			<input type="radio" name={props.group} checked={props.checked} onChange={props.choose} />
			<strong>{props.title}</strong>
			<span class="muted small">{props.note}</span>
		</label>
	);
}

export function ImageChoice({ spec, project, error, pick }: { spec: Values; project: string; error: string | null; pick: (image: string | undefined) => void }) {
	const images = bootable();
	return (
		<Panel title="Image">
			{images.length ? (
				<fieldset>
					<legend class="unseen">Image that its disk is made from</legend>
					<div class="choices">
						{images.map((one) => (
							<Choice
								key={one.uid}
								group="image"
								checked={spec.image === imageRef(one, project)}
								choose={() => pick(imageRef(one, project))}
								title={one.name}
								note={[one.status?.os, bytes(one.status?.size), one.project !== project ? one.project : ''].filter(Boolean).join(' · ')}
							/>
						))}
						<Choice group="image" checked={!spec.image} choose={() => pick(undefined)} title="No image" note="disks and kernel below" />
					</div>
				</fieldset>
			) : collection('image').state === 'loading' ? (
				<p class="muted">Loading…</p>
			) : (
				<p class="muted">
					No image that can boot is ready. <a href={link('images', 'new')}>Upload or build one</a>, or set a kernel and disks below.
				</p>
			)}
			{error ? <p class="field-error">{error}</p> : null}
		</Panel>
	);
}

export function SizeFields({ spec, image, problem }: { spec: Values; image: Thing | undefined; problem: Problem | null }) {
	const box = (label: string, name: string) => ({
		label,
		error: concerns(problem, `spec.${name}`) ? fieldWords(problem!) : null,
		hint: problem?.hint ?? '',
	});
	const size = (name: string, placeholder: string) => (ids: Values) => (
		<SizeInput
			attributes={ids}
			placeholder={placeholder}
			value={spec[name]}
			onValue={(value) => {
				spec[name] = value;
			}}
		/>
	);
	return (
		<Panel title="Size">
			<fieldset>
				<legend class="unseen">Size</legend>
				<div class="choices short">
					{sizes.map((one) => (
						<Choice
							key={one.name}
							group="size"
							checked={spec.cpus === one.cpus && spec.memory === one.memory}
							choose={() => {
								spec.cpus = one.cpus;
								spec.memory = one.memory;
							}}
							title={one.name}
							note={`${one.cpus} ${one.cpus === 1 ? 'CPU' : 'CPUs'}, ${bytes(one.memory)}`}
						/>
					))}
				</div>
			</fieldset>
			<div class="three">
				<FieldBox {...box('CPUs', 'cpus')}>
					{(ids) => (
						<input
							{...ids}
							inputmode="numeric"
							value={spec.cpus ?? ''}
							onInput={(event: Event) => {
								spec.cpus = numberOf((event.target as HTMLInputElement).value);
							}}
						/>
					)}
				</FieldBox>
				<FieldBox {...box('Memory', 'memory')}>{size('memory', exactBytes(GIB))}</FieldBox>
				{spec.image ? (
					<FieldBox {...box('Disk', 'disk-size')}>{size('disk-size', image?.status?.size ? `${bytes(image.status.size)}, as the image` : 'as the image')}</FieldBox>
				) : null}
			</div>
		</Panel>
	);
}

/** Public keys, one a line, beside those that the project has. */
function SshKeys({ cloud, context }: { cloud: Values; context: FormContext }) {
	const known = things('key', context.project);
	const chosen: string[] = cloud.keys ?? [];
	const error = (name: string) => (concerns(context.problem, `spec.cloud-init.${name}`) ? fieldWords(context.problem!) : null);
	return (
		<div class="fields">
			{known.length ? (
				<FieldBox label="SSH keys of the project" group error={error('keys')}>
					{() => (
						<div class="checks">
							{known.map((key) => (
								<label class="check" key={key.uid}>
									<input
										type="checkbox"
										checked={chosen.includes(key.name)}
										onChange={(event: Event) => {
											cloud.keys = (event.target as HTMLInputElement).checked ? [...chosen, key.name] : chosen.filter((name) => name !== key.name);
										}}
									/>
									<span>{key.name}</span>
								</label>
							))}
						</div>
					)}
				</FieldBox>
			) : null}
			<FieldBox label={known.length ? 'Other SSH keys' : 'SSH keys'} error={error('ssh-keys')} hint={context.problem?.hint ?? ''} help="public keys, one a line">
				{(ids) => (
					<textarea
						{...ids}
						class="mono"
						rows="2"
						spellcheck="false"
						placeholder="ssh-ed25519 AAAA…"
						value={((cloud['ssh-keys'] as string[] | undefined) ?? []).join('\n')}
						onInput={(event: Event) => {
							const text = (event.target as HTMLTextAreaElement).value;
							cloud['ssh-keys'] = text ? text.split('\n') : [];
						}}
					/>
				)}
			</FieldBox>
		</div>
	);
}

const SIGN_IN = ['user', 'password', 'hostname'];

export function SignInFields({ spec, context }: { spec: Values; context: FormContext }) {
	const fields = fieldAt(kindOf('vm').spec, 'cloud-init')?.fields ?? [];
	const cloud: Values = spec['cloud-init'];
	const draw = (field: (typeof fields)[number]) => (
		<FormField key={field.name} field={field} path={`spec.cloud-init.${field.name}`} values={cloud} context={context} />
	);
	const rest = fields.filter((field) => ![...SIGN_IN, 'keys', 'ssh-keys'].includes(field.name));
	return (
		<Panel title="Sign-in">
			<p class="small muted">Cloud-init in the guest sets these at the first start. Without a password or a key, nobody can sign in to most images.</p>
			<div class="fields">
				<div class="three">{SIGN_IN.flatMap((name) => fields.filter((field) => field.name === name)).map(draw)}</div>
				<SshKeys cloud={cloud} context={context} />
				<More label="More for cloud-init" open={rest.some((field) => concerns(context.problem, `spec.cloud-init.${field.name}`))}>
					{() => <div class="fields">{rest.map(draw)}</div>}
				</More>
			</div>
		</Panel>
	);
}

/** How one gets in, for the summary. */
export function signInWords(cloud: Values): Child {
	const ways = [cloud.keys?.length || cloud['ssh-keys']?.length ? 'SSH key' : '', cloud.password ? 'password' : ''].filter(Boolean);
	return ways.length ? ways.join(', ') : <Pill mood="warn">as the image is</Pill>;
}

const TYPES: Record<string, string> = { user: 'NAT of its own', nat: 'bridge with NAT', bridge: 'bridge of the host' };

export function NetChoice({ spec, project }: { spec: Values; project: string }): Root {
	const cards: Values[] = spec.nets ?? [];
	const nets = things('network', project);
	// Every project has this one, also where nobody may look.
	const names = nets.length ? nets.map((one) => one.name) : ['default'];
	return (
		<Panel title="Network">
			<fieldset>
				<legend class="unseen">Network</legend>
				<div class="choices">
					{names.map((name) => {
						const one = nets.find((net) => net.name === name);
						return (
							<Choice
								key={name}
								group="network"
								checked={cards.length > 0 && (cards[0]!.network ?? 'default') === name}
								choose={() => {
									spec.nets = [{ ...cards[0], network: name }, ...cards.slice(1)];
								}}
								title={name}
								note={[TYPES[one?.spec.type as string], one?.status?.subnet].filter(Boolean).join(' · ') || words('network')}
							/>
						);
					})}
					<Choice
						group="network"
						checked={!cards.length}
						choose={() => {
							spec.nets = [];
						}}
						title="None"
						note="reached by its console alone"
					/>
				</div>
			</fieldset>
		</Panel>
	);
}
