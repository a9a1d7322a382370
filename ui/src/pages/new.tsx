/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new object of any kind: a form from its schema. */
import { attempts } from '../base/attempt';
import { h, type Self } from '../base/view';
import { sentence } from '../base/format';
import { go, guard, link, route } from '../base/router';
import { chosenProject } from '../base/settings';
import { create } from '../api/change';
import type { Problem } from '../api/problem';
import { type Kind, presets } from '../api/schema';
import { equal, copy, type Values } from '../api/types';
import { Button, Panel, ProblemNotice } from '../parts/basic';
import { Fields, type FormContext } from '../parts/form';
import { CommonFields, NameField, nameProblem, ProjectField } from '../parts/identity';
import { hrefOf } from '../parts/link';
import { say } from '../parts/toast';
import { wordsOf } from './kinds';
import { showToken } from './access';
import { TemplateFields, withoutEmpty } from './template';

/** Whether the form has a place for what an error is about; else it stands above. */
export function hasPlace(problem: Problem | null): boolean {
	return /^(name|labels|notes|spec)\b/.test(problem?.field ?? '');
}

/** Shows the first field with an error, after it has been drawn. */
export function showError(): void {
	requestAnimationFrame(() =>
		requestAnimationFrame(() => {
			const wrong = document.querySelector<HTMLElement>('[aria-invalid=true], .field-error');
			wrong?.scrollIntoView({ block: 'center' });
			wrong?.focus();
		}),
	);
}

/** The fields of a kind's spec, those that matter first. */
export function SpecForm({ kind, values, context }: { kind: Kind; values: Values; context: FormContext }) {
	const { first, elsewhere } = wordsOf(kind.name);
	if (kind.name === 'template') return <TemplateFields fields={kind.spec} values={values} context={context} />;
	const fields = context.changing ? kind.spec.filter((field) => !elsewhere?.includes(field.name)) : kind.spec;
	return <Fields fields={fields} path="spec" values={values} context={context} first={first ?? []} fold={!context.changing || first !== undefined} />;
}

/** What is sent of a spec that was edited. */
export function specOf(kind: Kind, values: Values): Values {
	return kind.name === 'template' ? { ...values, vm: withoutEmpty(values.vm ?? {}) } : values;
}

export function NewThing(initial: { kind: Kind }, self: Self) {
	const { kind } = initial;
	const about = wordsOf(kind.name);
	const values: Values = { name: '', labels: {}, spec: presets(kind.spec) };
	const given = route().query;
	for (const field of kind.spec) if (given.has(field.name)) values.spec[field.name] = given.get(field.name);
	const sent = () => ({ ...values, spec: specOf(kind, values.spec) });
	const untouched = copy(sent());
	let project = chosenProject() || 'default';
	const attempt = attempts(showError);

	guard(() => (attempt.busy || equal(sent(), untouched) ? null : 'Leave without saving?'));
	self.onRemove(() => guard(null));

	const submit = async (event: Event) => {
		event.preventDefault();
		await attempt.run(async () => {
			const body = await create(kind, project, sent());
			guard(null);
			if (kind.name === 'token') showToken(values.name, body);
			say('good', `${sentence(about.one)} ${values.name} ${body.kind === 'operation' ? 'is being made' : 'was made'}`);
			go(kind.name === 'token' ? link(kind.plural) : hrefOf(kind.name, project, values.name));
		});
	};

	return () => (
		<div class="page narrow">
			<nav class="crumbs" aria-label="Where this is">
				<a href={link(kind.plural)}>{about.many}</a>
				<span aria-hidden="true">/</span>
			</nav>
			<div class="title">
				<h1>New {about.one}</h1>
			</div>
			<form class="stack" onSubmit={submit} novalidate>
				{attempt.problem && !hasPlace(attempt.problem) ? <ProblemNotice problem={attempt.problem} /> : null}
				<Panel>
					<div class="fields">
						<NameField values={values} context={{ project, problem: attempt.problem, changing: false }} autofocus />
						<ProjectField
							kind={kind}
							project={project}
							onChange={(name) => {
								project = name;
							}}
						/>
						<SpecForm kind={kind} values={values.spec} context={{ project, problem: attempt.problem, changing: false }} />
						<CommonFields values={values} context={{ project, problem: attempt.problem, changing: false }} folded />
					</div>
				</Panel>
				<div class="row">
					<Button label={`Create ${about.one}`} type="submit" look="primary" busy={attempt.busy} disabled={!values.name || nameProblem(values.name) !== null} />
					<Button label="Cancel" href={link(kind.plural)} />
				</div>
			</form>
		</div>
	);
}
