/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small ones: buttons, states, bars, notices, places without content. */
import { type Child, h } from '../base/view';
import { ago, bytes, percent, sentence, time, words } from '../base/format';
import type { Problem } from '../api/problem';
import { Icon } from './icon';

export interface ButtonProps {
	label: string;
	icon?: string;
	look?: 'primary' | 'danger' | 'quiet' | 'plain';
	iconOnly?: boolean;
	small?: boolean;
	busy?: boolean;
	disabled?: boolean;
	title?: string;
	onClick?: (event: MouseEvent) => void;
	href?: string;
	type?: 'button' | 'submit';
	attributes?: Record<string, unknown>;
}

export function Button(props: ButtonProps) {
	const { label, icon, look = 'plain', iconOnly, small, busy, disabled, href } = props;
	const common = {
		class: `button ${look}${iconOnly ? ' icon-only' : ''}${small ? ' small' : ''}${busy ? ' busy' : ''}`,
		title: props.title ?? (iconOnly ? label : undefined),
		'aria-label': iconOnly ? label : undefined,
		onClick: props.onClick,
		...props.attributes,
	};
	const content = [
		busy ? <span class="spinner" aria-hidden="true" /> : icon ? <Icon name={icon} /> : null,
		iconOnly ? null : <span>{label}</span>,
	];
	if (href !== undefined && !disabled)
		return (
			<a href={href} {...common}>
				{content}
			</a>
		);
	return (
		<button type={props.type ?? 'button'} disabled={disabled || busy} {...common}>
			{content}
		</button>
	);
}

const moods: Record<string, string> = {
	running: 'good', ready: 'good', done: 'good', live: 'good',
	paused: 'warn', empty: 'warn', pending: 'warn', warning: 'warn', expired: 'warn',
	crashed: 'bad', failed: 'bad',
	starting: 'busy', stopping: 'busy', deleting: 'busy', creating: 'busy', uploading: 'busy', importing: 'busy', building: 'busy',
	stopped: 'idle', cancelled: 'idle', disabled: 'idle',
};

export function mood(state: string): string {
	return moods[state] ?? 'idle';
}

/** Where there is no value. */
export function Dash() {
	return <span class="faint">–</span>;
}

/** A state in words, with a dot: colour is never the only sign. */
export function State({ state, words: given, mood: kind }: { state: string | undefined; words?: string; mood?: string }) {
	if (!state) return <Dash />;
	return (
		<span class={`state ${kind ?? mood(state)}`}>
			<span class="dot" aria-hidden="true" />
			{given ?? words(state)}
		</span>
	);
}

export function Pill({ children, mood: kind = 'idle', title }: { children?: Child; mood?: string; title?: string }) {
	return (
		<span class={`pill ${kind}`} title={title}>
			{children}
		</span>
	);
}

/** How full something is, or how far. `total` 0: not known. */
export function Bar({ done, total, label, warnAt }: { done: number; total: number; label: string; warnAt?: number }) {
	const ratio = total > 0 ? Math.min(done / total, 1) : 0;
	const look = warnAt !== undefined && ratio >= warnAt ? (ratio >= 0.95 ? ' bad' : ' warn') : '';
	return (
		<span
			class={`bar${look}${total > 0 ? '' : ' unknown'}`}
			role="progressbar"
			aria-label={label}
			aria-valuemin="0"
			aria-valuemax="100"
			aria-valuenow={total > 0 ? String(Math.round(ratio * 100)) : undefined}
		>
			<span style={{ width: total > 0 ? `${(ratio * 100).toFixed(1)}%` : '35%' }} />
		</span>
	);
}

export function Meter({ used, total, label }: { used: number; total: number; label: string }) {
	return (
		<span class="meter">
			<Bar done={used} total={total} label={label} warnAt={0.85} />
			<span class="small muted">
				{bytes(used)} of {bytes(total)} · {percent(total ? used / total : 0)}
			</span>
		</span>
	);
}

export function Notice({ mood: kind = 'info', title, children, actions }: { mood?: string; title?: string; children?: Child; actions?: Child }) {
	return (
		<div class={`notice ${kind}`} role={kind === 'bad' ? 'alert' : 'status'}>
			<Icon name={kind === 'good' ? 'check' : kind === 'info' ? 'info' : 'warning'} />
			<div class="grow">
				{title ? <strong>{title}</strong> : null}
				{children ? <div>{children}</div> : null}
			</div>
			{actions}
		</div>
	);
}

export function ProblemNotice({ problem, retry }: { problem: Problem; retry?: () => void }) {
	return (
		<Notice
			mood="bad"
			title={sentence(problem.message)}
			actions={retry ? <Button label="Try again" small onClick={retry} /> : null}
		>
			{problem.hint ? sentence(problem.hint) : null}
		</Notice>
	);
}

export function Empty({ icon, title, children, action }: { icon: string; title: string; children?: Child; action?: Child }) {
	return (
		<div class="empty">
			<span class="empty-icon">
				<Icon name={icon} />
			</span>
			<h2>{title}</h2>
			{children ? <p class="muted">{children}</p> : null}
			{action}
		</div>
	);
}

export function Loading({ rows = 4 }: { rows?: number }) {
	return (
		<div class="skeleton" role="status" aria-label="Loading">
			{Array.from({ length: rows }, (_, i) => (
				<span key={i} style={{ width: `${[92, 78, 85, 64][i % 4]}%` }} />
			))}
		</div>
	);
}

export function When({ at, live = true }: { at: string | number | null | undefined; live?: boolean }) {
	if (!at) return <Dash />;
	return (
		<time title={time(at)} datetime={typeof at === 'string' ? at : new Date(at).toISOString()}>
			{live ? ago(at) : time(at)}
		</time>
	);
}

export function Panel({ title, actions, children, flush, id }: { title?: string; actions?: Child; children?: Child; flush?: boolean; id?: string }) {
	return (
		<section class={`panel${flush ? ' flush' : ''}`} aria-labelledby={title && id ? id : undefined}>
			{title ? (
				<header>
					<h2 id={id}>{title}</h2>
					{actions ? <div class="actions">{actions}</div> : null}
				</header>
			) : null}
			{children}
		</section>
	);
}

/** Names and values, one below the other. */
export function Facts({ rows }: { rows: [string, Child][] }) {
	return (
		<dl class="facts">
			{rows.map(([name, value]) => (
				<div key={name}>
					<dt>{name}</dt>
					<dd>{value === null || value === undefined || value === '' ? <Dash /> : value}</dd>
				</div>
			))}
		</dl>
	);
}

/** What people wrote, in whatever direction they write. */
export function Notes({ text }: { text: string }) {
	return (
		<span class="notes" dir="auto">
			{text}
		</span>
	);
}

export function Labels({ labels, onPick }: { labels: Record<string, string> | undefined; onPick?: (text: string) => void }) {
	const entries = Object.entries(labels ?? {});
	if (!entries.length) return null;
	return (
		<span class="labels">
			{entries.map(([name, value]) => {
				const text = value ? `${name}=${value}` : name;
				return onPick ? (
					<button key={name} type="button" class="label" title={`Show only ${text}`} onClick={(event: Event) => {
						event.preventDefault();
						event.stopPropagation();
						onPick(text);
					}}>
						{text}
					</button>
				) : (
					<span key={name} class="label">
						{text}
					</span>
				);
			})}
		</span>
	);
}
