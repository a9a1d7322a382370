/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The API to try: a request is sent as whoever is signed in, and the answer shown as it came. */
import { h, redraw } from '../base/view';
import { send } from '../api/client';
import { allKinds } from '../api/schema';
import { problemOf } from '../api/problem';
import { Button, Panel, Pill } from '../parts/basic';
import { FieldBox } from '../parts/form';
import { Icon } from '../parts/icon';

export function ApiPage() {
	let method = 'GET';
	let path = '/v1/projects/default/vms';
	let body = '';
	let answer: { status: number; text: string; ms: number } | null = null;
	let busy = false;

	const submit = async (event: Event) => {
		event.preventDefault();
		busy = true;
		const began = performance.now();
		redraw();
		try {
			const parsed: unknown = body.trim() && method !== 'GET' ? JSON.parse(body) : undefined;
			const result = await send(method, path, { ...(parsed === undefined ? {} : { body: parsed }), patch: method === 'PATCH' });
			answer = { status: result.status, text: JSON.stringify(result.body, null, 2), ms: performance.now() - began };
		} catch (error) {
			const problem = problemOf(error);
			answer = {
				status: problem.status,
				text: JSON.stringify({ error: { code: problem.code, message: problem.message, hint: problem.hint, field: problem.field } }, null, 2),
				ms: performance.now() - began,
			};
		}
		busy = false;
		redraw();
	};

	return () => (
		<div class="page">
			<div class="title">
				<h1>API</h1>
				<div class="actions">
					<Button label="OpenAPI document" icon="link" href="/v1/openapi.json" attributes={{ target: '_blank', rel: 'noopener' }} />
				</div>
			</div>
			<div class="split">
				<div class="stack">
					<Panel title="Try it">
						<form class="fields" onSubmit={submit}>
							<div class="row">
								<span class="select" style={{ width: '7rem' }}>
									<select
										aria-label="Method"
										value={method}
										onChange={(event: Event) => {
											method = (event.target as HTMLSelectElement).value;
										}}
									>
										{['GET', 'POST', 'PATCH', 'PUT', 'DELETE'].map((one) => (
											<option key={one} value={one}>
												{one}
											</option>
										))}
									</select>
									<Icon name="chevron" />
								</span>
								<input
									class="grow mono"
									aria-label="Path"
									spellcheck="false"
									value={path}
									onInput={(event: Event) => {
										path = (event.target as HTMLInputElement).value;
									}}
								/>
								<Button label="Send" type="submit" look="primary" busy={busy} />
							</div>
							{method === 'GET' || method === 'DELETE' ? null : (
								<FieldBox label="Body (JSON)">
									{(ids) => (
										<textarea
											{...ids}
											class="mono"
											rows="7"
											spellcheck="false"
											value={body}
											onInput={(event: Event) => {
												body = (event.target as HTMLTextAreaElement).value;
											}}
										/>
									)}
								</FieldBox>
							)}
						</form>
					</Panel>
					{answer ? (
						<Panel
							title="Answer"
							actions={
								<span class="row">
									<Pill mood={answer.status < 300 && answer.status > 0 ? 'good' : 'bad'}>{answer.status || 'no answer'}</Pill>
									<span class="small faint">{Math.round(answer.ms)} ms</span>
								</span>
							}
						>
							<pre class="log" tabindex="0" aria-label="Answer">
								{answer.text}
							</pre>
						</Panel>
					) : null}
				</div>
				<Panel title="Kinds" flush id="kinds">
					<ul class="list">
						{allKinds().map((kind) => (
							<li key={kind.name}>
								<span class="grow">
									<button
										type="button"
										class="label"
										onClick={() => {
											method = 'GET';
											path = kind.scope === 'project' ? `/v1/projects/default/${kind.plural}` : `/v1/${kind.plural}`;
										}}
									>
										{kind.plural}
									</button>
									<span class="small muted block">
										{kind.help}
									</span>
								</span>
							</li>
						))}
					</ul>
				</Panel>
			</div>
		</div>
	);
}
