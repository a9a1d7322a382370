/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The form that changes an object. It sends what was changed alone, for the revision that it was
 * changed from; if somebody else was faster, it says so and takes over theirs where this one has not
 * been touched.
 */
import { attempts } from '../base/attempt';
import { h, type Self } from '../base/view';
import { guard } from '../base/router';
import { change } from '../api/change';
import { thing as current } from '../api/live';
import { kindOf, presets } from '../api/schema';
import { copy, mergePatch, type Thing, type Values } from '../api/types';
import { Button, Notice, Panel, ProblemNotice } from '../parts/basic';
import { CommonFields } from '../parts/identity';
import { say } from '../parts/toast';
import { hasPlace, showError, SpecForm, specOf } from './new';

function editable(thing: Thing): Values {
	return copy({ labels: thing.labels ?? {}, notes: thing.notes ?? '', protected: thing.protected ?? false, spec: { ...presets(kindOf(thing.kind).spec), ...thing.spec } });
}

/** RFC 7396 on plain values. */
function merged(target: unknown, patch: unknown): unknown {
	if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
	const result: Values = typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
	for (const [name, value] of Object.entries(patch)) {
		if (value === null) delete result[name];
		else result[name] = merged(result[name], value);
	}
	return result;
}

export function EditForm(initial: { thing: Thing }, self: Self) {
	let base = initial.thing;
	let before = editable(base);
	let values = copy(before);
	const attempt = attempts(showError);
	let version = 0;
	const kind = kindOf(base.kind);

	const difference = () => mergePatch(before, { ...values, spec: specOf(kind, values.spec) }) as Values | undefined;
	guard(() => (!attempt.busy && difference() ? 'Leave without saving?' : null));
	self.onRemove(() => guard(null));

	/** Begins from the newest state, with what was changed here on top. */
	const follow = (now: Thing) => {
		const mine = difference();
		base = now;
		before = editable(now);
		values = (mine ? merged(copy(before), mine) : copy(before)) as Values;
		version++;
	};

	const submit = async (event: Event) => {
		event.preventDefault();
		const patch = difference();
		if (!patch) return;
		await attempt.run(async () => {
			const body = await change(base, patch);
			const now = body.kind === base.kind ? (body as Thing) : (current(base.kind, base.project, base.name) ?? base);
			base = now;
			before = editable(now);
			values = copy(before);
			version++;
			say('good', `${base.name} was changed`);
		});
	};

	return ({ thing }: typeof initial) => {
		const newer = thing.revision > base.revision;
		if (newer && !difference()) follow(thing);
		const patch = difference();
		const running = kind.name === 'vm' && ['running', 'paused', 'starting'].includes(thing.status?.state);
		const context = { project: thing.project ?? '', problem: attempt.problem, changing: true, running };
		const waits = running && patch?.spec && Object.keys(patch.spec as Values).some((name) => !kind.spec.find((field) => field.name === name)?.live);
		return (
			<form class="stack" onSubmit={submit} novalidate key={version}>
				{attempt.problem && !hasPlace(attempt.problem) && attempt.problem.code !== 'stale' ? <ProblemNotice problem={attempt.problem} /> : null}
				{(newer && patch) || attempt.problem?.code === 'stale' ? (
					<Notice
						mood="warn"
						title="Somebody else has changed it meanwhile"
						actions={
							<Button
								label="Take over the changes"
								small
								onClick={() => {
									attempt.problem = null;
									follow(current(thing.kind, thing.project, thing.name) ?? thing);
								}}
							/>
						}
					>
						What you changed here stays as you have it.
					</Notice>
				) : null}
				<Panel>
					<SpecForm kind={kind} values={values.spec} context={context} />
				</Panel>
				<Panel title="Labels, notes, protection">
					<CommonFields values={values} context={context} />
				</Panel>
				<div class="row wrap">
					<Button label="Save" type="submit" look="primary" busy={attempt.busy} disabled={!patch} />
					<Button
						label="Undo changes"
						disabled={!patch}
						onClick={() => {
							values = copy(before);
							attempt.problem = null;
							version++;
						}}
					/>
					{waits ? <span class="small muted">Some of it is for the next start: the running VM stays as it is until then.</span> : null}
				</div>
			</form>
		);
	};
}
