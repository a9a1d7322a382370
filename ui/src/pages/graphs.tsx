/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host or a VM used: processors, memory, disks, network, over a time that is chosen. */
import { h, type Self } from '../base/view';
import { bytes, percent, rate } from '../base/format';
import { follow, scaled } from '../api/metrics';
import { Notice, Panel } from '../parts/basic';
import { Chart, type Points } from '../parts/chart';

const SPANS: [string, number][] = [
	['15 min', 900000],
	['1 h', 3600000],
	['6 h', 6 * 3600000],
	['1 d', 86400000],
	['1 w', 7 * 86400000],
];

interface GraphsProps {
	title: string;
	path: string; // of the object
	cpus: number | undefined;
	memory: number | undefined;
}

export function Graphs(initial: GraphsProps, self: Self) {
	const { history, span, setSpan } = follow(self, `${initial.path}/metrics`);
	const get = (name: string): Points => history.series.get(name) ?? [];
	return ({ title, cpus, memory }: GraphsProps) => {
		const { from, to, problem } = history;
		if (problem && !history.series.size) return problem.status === 404 ? null : <Notice>{problem.message}</Notice>;
		const time = { from, to };
		const spans = (
			<div class="segments" role="group" aria-label="Time shown">
				{SPANS.map(([name, ms]) => (
					<button key={name} type="button" aria-pressed={String(span() === ms)} onClick={() => setSpan(ms)}>
						{name}
					</button>
				))}
			</div>
		);
		return (
			<Panel title={title} actions={spans}>
				<div class="charts">
					<Chart {...time} label="Processors" max={1} format={percent} series={[{ name: 'used', points: scaled(get('cpu'), 0.01 / Math.max(1, cpus ?? 1)) }]} />
					<Chart {...time} label="Memory" {...(memory ? { max: memory } : {})} format={bytes} series={[{ name: 'used', points: get('memory') }]} />
					<Chart
						{...time}
						label="Disks"
						format={rate}
						series={[
							{ name: 'read', points: get('disk-read') },
							{ name: 'written', points: get('disk-written') },
						]}
					/>
					<Chart
						{...time}
						label="Network"
						format={rate}
						series={[
							{ name: 'in', points: get('net-received') },
							{ name: 'out', points: get('net-sent') },
						]}
					/>
				</div>
			</Panel>
		);
	};
}
