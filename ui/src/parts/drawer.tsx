/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations at the edge of every page: what runs, how far it is, and how it ended. */
import { h, redraw, type Root, type Self } from '../base/view';
import { bytes, lower, rate, sentence, span, words } from '../base/format';
import { collection } from '../api/live';
import { cancelOperation, isOver, operations } from '../api/operations';
import { hasKind } from '../api/schema';
import type { Thing, Values } from '../api/types';
import { Bar, Button, Empty, Loading, State, When } from './basic';
import { openDialog } from './dialog';
import { hrefOf } from './link';
import { complain } from './toast';

export function operationTitle(operation: Thing): string {
	return `${words(operation.spec.action ?? '')} ${lower(words(operation.spec.resource?.kind ?? ''))}`;
}

/** Running is good for a VM; an operation that runs is not there yet. */
export function OperationState({ operation }: { operation: Thing }): Root {
	const state = operation.status.state as string;
	return <State state={state} {...(isOver(operation) ? {} : { mood: 'busy' })} />;
}

/** How far it is: "Convert · 420 MiB of 4 GiB · 80 MiB/s · 46 s left", "Install packages · step 4 of 8 · for 34 s". */
export function progressWords(operation: Thing): string {
	const { started, progress = {} } = operation.status as Values;
	const { phase = '', done = 0, total = 0, rate: speed = 0 } = progress as Values;
	// Steps are few; bytes are not.
	const steps = total > 0 && total < 10000;
	const amount = steps ? `step ${done} of ${total}` : total ? `${bytes(done)} of ${bytes(total)}` : done ? bytes(done) : '';
	const left = !steps && speed > 0 && total > done ? `${span((total - done) / speed)} left` : '';
	const lasted = started ? (Date.now() - Date.parse(started)) / 1000 : 0;
	return [words(phase), amount, !steps && speed ? rate(speed) : '', left || (lasted >= 1 ? `for ${span(lasted)}` : '')].filter(Boolean).join(' · ');
}

/** Why it failed. */
export function OperationError({ operation }: { operation: Thing }): Root {
	const { error } = operation.status;
	if (!error?.message) return null;
	return (
		<p class="field-error">
			<span>
				{sentence(error.message)}
				{error.hint ? <span class="field-hint"> {sentence(error.hint)}</span> : null}
			</span>
		</p>
	);
}

export function OperationLine({ operation, all, close }: { operation: Thing; all: Thing[]; close?: () => void }): Root {
	const { spec, status } = operation;
	const { resource } = spec;
	const progress = status.progress ?? {};
	const over = isOver(operation);
	const children = all.filter((one) => one.spec.parent === operation.name);
	return (
		<div class="operation" key={operation.uid}>
			<div class="row">
				<span class="grow cut">
					<b>{operationTitle(operation)}</b>{' '}
					{resource?.name && hasKind(resource.kind) ? (
						<a href={hrefOf(resource.kind, resource.project, resource.name)} onClick={close}>
							{resource.name}
						</a>
					) : (
						resource?.name
					)}
				</span>
				<OperationState operation={operation} />
				{!over && status.cancellable !== false ? (
					<Button
						label={`Cancel ${operationTitle(operation)} ${resource?.name ?? ''}`}
						icon="close"
						iconOnly
						small
						look="quiet"
						onClick={() => cancelOperation(operation).catch((error) => complain(error, 'The operation was not cancelled'))}
					/>
				) : null}
			</div>
			{over ? null : <Bar done={progress.total ? progress.done : 0} total={progress.total ?? 0} label={`Progress of ${operationTitle(operation)}`} />}
			<div class="row small muted">
				{over ? null : <span class="grow cut">{progressWords(operation)}</span>}
				{over ? (
					<span class="grow">
						<When at={status.ended ?? operation.created} />
						{spec.actor ? ` · ${spec.actor}` : ''}
					</span>
				) : null}
			</div>
			<OperationError operation={operation} />
			{children.length ? (
				<div class="children">
					{children.map((child) => (
						<OperationLine key={child.uid} operation={child} all={all} {...(close ? { close } : {})} />
					))}
				</div>
			) : null}
		</div>
	);
}

function Drawer(_: { close: () => void }, self: Self) {
	// How long they have been at it goes on between two events.
	const timer = setInterval(redraw, 1000);
	self.onRemove(() => clearInterval(timer));
	return ({ close }: typeof _) => {
		const all = operations();
		const tops = all.filter((one) => !one.spec.parent || !all.some((other) => other.name === one.spec.parent));
		const state = collection('operation').state;
		return (
			<div class="stack">
				<div class="row">
					<h2 class="grow" tabindex="-1" autofocus>
						Operations
					</h2>
					<Button label="All operations" small look="quiet" href="#/operations" onClick={close} />
					<Button label="Close" icon="close" iconOnly small look="quiet" onClick={close} />
				</div>
				{state === 'loading' ? <Loading /> : null}
				{state === 'ready' && !tops.length ? (
					<Empty icon="operation" title="Nothing is under way">
						What takes longer, such as an import or a start, shows here with its progress.
					</Empty>
				) : null}
				<div>
					{tops.slice(0, 30).map((one) => (
						<OperationLine key={one.uid} operation={one} all={all} close={close} />
					))}
				</div>
			</div>
		);
	};
}

export function openOperations(): void {
	openDialog('Operations', (close) => <Drawer close={close} />, 'drawer');
}
