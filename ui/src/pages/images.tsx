/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images: the list with uploads under way, and the ways to a new one. */
import { attempts } from '../base/attempt';
import { h, redraw, type Root } from '../base/view';
import { bytes, percent, rate } from '../base/format';
import { go, link } from '../base/router';
import { chosenProject } from '../base/settings';
import { create } from '../api/change';
import { pathOf } from '../api/client';
import { kindOf, presets } from '../api/schema';
import { mayAny } from '../api/session';
import type { Thing, Values } from '../api/types';
import { allUploads, startUpload, type Upload } from '../api/upload';
import { Bar, Button, Panel, ProblemNotice } from '../parts/basic';
import { FieldBox, Fields, fieldWords, type FormContext } from '../parts/form';
import { CommonFields, NameField, nameProblem, ProjectField } from '../parts/identity';
import { Icon } from '../parts/icon';
import { hrefOf } from '../parts/link';
import { say } from '../parts/toast';
import { KindList } from './kind-list';
import { newVmFrom } from './kind-page';
import { hasPlace, showError } from './new';

function UploadLine({ upload }: { upload: Upload }): Root {
	return (
		<li key={upload.path}>
			<div class="grow stack tight">
				<div class="row">
					<b class="grow cut">{upload.name}</b>
					<span class="muted small">
						{upload.state === 'failed'
							? (upload.problem?.message ?? 'failed')
							: `${bytes(upload.sent)} of ${bytes(upload.file.size)} · ${percent(upload.sent / upload.file.size)}${upload.rate ? ` · ${rate(upload.rate)}` : ''}`}
					</span>
				</div>
				<Bar done={upload.sent} total={upload.file.size} label={`Upload of ${upload.name}`} />
			</div>
			{upload.state === 'failed' ? (
				<Button label="Go on" small onClick={() => startUpload(upload.path, upload.name, upload.file)} />
			) : (
				<Button label={`Cancel the upload of ${upload.name}`} icon="close" iconOnly small look="quiet" onClick={() => upload.abort.abort()} />
			)}
		</li>
	);
}

export function ImageList() {
	const kind = kindOf('image');
	const uploads = allUploads().filter((one) => one.state === 'running' || one.state === 'failed');
	return (
		<KindList
			kind={kind}
			above={
				uploads.length ? (
					<Panel title="Uploads" flush id="uploads">
						<ul class="list">
							{uploads.map((one) => (
								<UploadLine key={one.path} upload={one} />
							))}
						</ul>
					</Panel>
				) : null
			}
			rowMenu={(one: Thing) => [
				{
					label: 'Create VM from it',
					icon: 'plus',
					allowed: mayAny('create', 'vm'),
					disabled: one.status?.state !== 'ready',
					href: newVmFrom(one),
				},
			]}
		/>
	);
}

type Source = 'upload' | 'build' | 'url' | 'file';

const sources: [Source, string, string, string][] = [
	['upload', 'Upload', 'a file of this computer', 'upload'],
	['build', 'Build', 'from the packages of a distribution', 'image'],
	['url', 'Fetch', 'from a web address', 'download'],
	['file', 'Import', 'a file of the host', 'node'],
];

// What share/image-build knows by number; others have names.
const SYSTEMS = ['debian:13', 'debian:12', 'debian:11'];

/** "Debian 12 (amd64).qcow2", "debian:12" or an address as a name that the server takes. */
function nameOf(text: string): string {
	return text
		.toLowerCase()
		.replace(/[?#].*$/, '')
		.replace(/\/+$/, '')
		.replace(/^.*\//, '')
		.replace(/\.(qcow2|img|raw|vmdk|vhdx?|vdi|ova|gz|xz|zst)$/g, '')
		.replace(/[^a-z0-9.-]+/g, '-')
		.replace(/^[-.]+|[-.]+$/g, '')
		.slice(0, 63);
}

/** Systems to choose from; any other is typed. */
function BuildField({ values, context }: { values: Values; context: FormContext }) {
	const problem = context.problem?.field === 'spec.build' ? context.problem : null;
	return (
		<FieldBox label="System" required error={problem ? fieldWords(problem) : null} hint={problem?.hint ?? ''} help="made from its distribution's packages, which takes a minute or three">
			{(ids) => (
				<span>
					<input
						{...ids}
						class="short"
						list="systems"
						autocomplete="off"
						spellcheck="false"
						value={values.spec.build ?? ''}
						onInput={(event: Event) => {
							values.spec.build = (event.target as HTMLInputElement).value.trim();
						}}
					/>
					<datalist id="systems">
						{SYSTEMS.map((system) => (
							<option key={system} value={system} />
						))}
					</datalist>
				</span>
			)}
		</FieldBox>
	);
}

export function NewImage() {
	const kind = kindOf('image');
	const values: Values = { name: '', labels: {}, spec: presets(kind.spec) };
	let project = chosenProject() || 'default';
	let source: Source = 'upload';
	let file: File | null = null;
	let named = false; // by a person
	let over = false;
	const attempt = attempts(showError);

	const choose = (chosen: File | undefined) => {
		if (!chosen) return;
		file = chosen;
		if (/\.(raw|img)$/i.test(chosen.name)) values.spec.format = 'raw';
		redraw();
	};

	const submit = async (event: Event) => {
		event.preventDefault();
		await attempt.run(async () => {
			const spec = { ...values.spec };
			for (const [name] of sources) if (name !== source) delete spec[name];
			if (source === 'upload') spec.size = file?.size;
			await create(kind, project, { ...values, spec });
			if (source === 'upload' && file) startUpload(pathOf(kind, project, values.name), values.name, file);
			say('good', source === 'upload' ? `Uploading ${values.name}` : `${values.name} is being made`, '', source === 'upload' ? undefined : hrefOf('image', project, values.name));
			go(link('images'));
		});
	};

	return () => {
		const context = { project, problem: attempt.problem, changing: false };
		const others = kind.spec.filter((field) => !sources.some(([name]) => name === field.name) && !(field.name === 'size' && source !== 'build'));
		const front = { upload: ['format'], build: ['size'], url: ['sha256'], file: ['format'] }[source];
		const own = kind.spec.filter((field) => field.name === source);
		if (!named) values.name = nameOf(source === 'upload' ? (file?.name ?? '') : (values.spec[source] ?? ''));
		return (
			<div class="page narrow">
				<nav class="crumbs" aria-label="Where this is">
					<a href={link('images')}>Images</a>
					<span aria-hidden="true">/</span>
				</nav>
				<div class="title">
					<h1>New image</h1>
				</div>
				<form class="stack" onSubmit={submit} novalidate>
					{attempt.problem && !hasPlace(attempt.problem) ? <ProblemNotice problem={attempt.problem} /> : null}
					<Panel>
						<div class="fields">
							<fieldset class="field">
								<legend class="field-name">Where it comes from</legend>
								<div class="choices">
									{sources.map(([name, title, words, icon]) => (
										<label class="choice" key={name}>
											<input
												type="radio"
												name="source"
												value={name}
												checked={source === name}
												onChange={() => {
													source = name;
													attempt.problem = null;
													if (name === 'build') values.spec.build ??= 'debian:12';
												}}
											/>
											<strong>
												<Icon name={icon} />
												{title}
											</strong>
											<span class="muted small">{words}</span>
										</label>
									))}
								</div>
							</fieldset>
							{source === 'upload' ? (
								<div
									key="drop"
									class={`drop${over ? ' over' : ''}`}
									onDragover={(event: DragEvent) => {
										event.preventDefault();
										over = true;
									}}
									onDragleave={() => {
										over = false;
									}}
									onDrop={(event: DragEvent) => {
										event.preventDefault();
										over = false;
										choose(event.dataTransfer?.files[0]);
									}}
								>
									<Icon name="upload" />
									{file ? (
										<span>
											<b>{file.name}</b>, {bytes(file.size)}
										</span>
									) : (
										<span>Drop a disk image here: qcow2, raw, VMDK, VHD, VHDX, VDI, OVA</span>
									)}
									<label class="button small">
										Choose a file
										<input
											class="unseen"
											type="file"
											aria-label="Disk image"
											onChange={(event: Event) => choose((event.target as HTMLInputElement).files?.[0])}
										/>
									</label>
								</div>
							) : source === 'build' ? (
								<BuildField key="build" values={values} context={context} />
							) : (
								<div key={source}>
									<Fields fields={own.map((field) => ({ ...field, required: true }))} path="spec" values={values.spec} context={context} />
								</div>
							)}
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
							<Fields key={`rest-${source}`} fields={others} path="spec" values={values.spec} context={context} first={front} fold />
							<CommonFields values={values} context={context} folded />
						</div>
					</Panel>
					<div class="row">
						<Button
							label={source === 'upload' ? 'Upload' : 'Create image'}
							type="submit"
							look="primary"
							busy={attempt.busy}
							disabled={!values.name || nameProblem(values.name) !== null || (source === 'upload' ? !file : !values.spec[source])}
						/>
						<Button label="Cancel" href={link('images')} />
					</div>
				</form>
			</div>
		);
	};
}

