/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Graphs over time, drawn as SVG. A series is points of [milliseconds, value]; gaps longer than a few
 * steps are left open. A pointer, or the arrow keys, show the values of an instant.
 */
import { h, type Self } from '../base/view';
import { clock } from '../base/format';

export type Points = [number, number][];

export interface Series {
	name: string;
	points: Points;
}

interface ChartProps {
	label: string;
	series: Series[];
	format: (value: number) => string;
	max?: number; // of the scale; else what the values need
	from: number;
	to: number;
}

const WIDTH = 600;
const HEIGHT = 132;
const TOP = 6;

/** The next "round" number at or above a value, so that the scale is calm. */
function ceiling(value: number, binary: boolean): number {
	if (value <= 0) return binary ? 1024 : 1;
	if (binary) {
		const unit = 1024 ** Math.floor(Math.log(value) / Math.log(1024));
		const steps = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
		return unit * (steps.find((step) => step * unit >= value) ?? 1024);
	}
	const unit = 10 ** Math.floor(Math.log10(value));
	return unit * ([1, 2, 5, 10].find((step) => step * unit >= value) ?? 10);
}

function lineOf(points: Points, x: (at: number) => number, y: (value: number) => number, gap: number): string[] {
	const parts: string[] = [];
	let part = '';
	let before = 0;
	for (const [at, value] of points) {
		const place = `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
		if (part && at - before > gap) {
			parts.push(part);
			part = '';
		}
		part += part ? `L${place}` : `M${place}`;
		before = at;
	}
	if (part) parts.push(part);
	return parts;
}

function nearest(points: Points, at: number): [number, number] | null {
	let low = 0;
	let high = points.length - 1;
	if (high < 0) return null;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (points[middle]![0] < at) low = middle + 1;
		else high = middle;
	}
	const after = points[low]!;
	const before = points[low - 1];
	return before && at - before[0] < after[0] - at ? before : after;
}

/** Points that are further apart have a gap between them: some steps, or what the eye would see. */
function gapOf(points: Points, length: number): number {
	const steps = points.slice(1).map(([at], i) => at - points[i]![0]).sort((a, b) => a - b);
	const step = points.length < 3 ? 15000 : steps[steps.length >> 1]!;
	return Math.max(step * 4, length / 60);
}

export function Chart(_: ChartProps, _self: Self) {
	let pointer: number | null = null; // part of the width

	return (props: ChartProps) => {
		const { label, series, format, from, to } = props;
		const shown = series.map((one) => ({ ...one, points: one.points.filter(([at]) => at >= from && at <= to) }));
		const highest = Math.max(0, ...shown.flatMap((one) => one.points.map(([, value]) => value)));
		const top = props.max ?? ceiling(highest * 1.05, /B/.test(format(1 << 20)));
		const x = (at: number) => ((at - from) / (to - from)) * WIDTH;
		const y = (value: number) => HEIGHT - (Math.min(value, top) / top) * (HEIGHT - TOP);
		const at = pointer === null ? null : from + pointer * (to - from);
		const marks = at === null ? [] : shown.map((one) => nearest(one.points, at));
		const gaps = shown.map((one) => gapOf(one.points, to - from));
		// Of what has ended, the last value says nothing of now.
		const latest = shown.map((one) => one.points.at(-1)).map((point, i) => (point && to - point[0] <= gaps[i]! ? point : undefined));
		const move = (event: MouseEvent) => {
			const box = (event.currentTarget as Element).getBoundingClientRect();
			pointer = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
		};
		const empty = shown.every((one) => !one.points.length);
		const words = shown.map((one, i) => `${one.name} ${latest[i] ? format(latest[i]![1]) : 'unknown'}`).join(', ');
		return (
			<figure class="chart">
				<figcaption>
					<span class="chart-title">{label}</span>
					<span class="chart-values">
						{shown.map((one, i) => {
							const value = at === null ? latest[i] : marks[i];
							return (
								<span key={one.name} class="chart-value">
									{shown.length > 1 ? <span class={`swatch s${i + 1}`} aria-hidden="true" /> : null}
									{shown.length > 1 ? <span class="muted">{one.name}</span> : null}
									<b>{value ? format(value[1]) : '–'}</b>
								</span>
							);
						})}
					</span>
				</figcaption>
				<div class="chart-area">
					<svg
						viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
						preserveAspectRatio="none"
						role="img"
						tabindex="0"
						aria-label={`${label}: ${words}`}
						onPointermove={move}
						onPointerleave={() => {
							pointer = null;
						}}
						onKeydown={(event: KeyboardEvent) => {
							const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
							if (step === undefined) return;
							event.preventDefault();
							pointer = Math.min(1, Math.max(0, (pointer ?? 1) + step));
						}}
						onBlur={() => {
							pointer = null;
						}}
					>
						{[0, 0.5, 1].map((part) => (
							<line key={part} class="chart-rule" x1="0" x2={WIDTH} y1={y(top * part)} y2={y(top * part)} />
						))}
						{shown.map((one, i) => {
							const parts = lineOf(one.points, x, y, gaps[i]!);
							return (
								<g key={one.name} class={`s${i + 1}`}>
									{shown.length === 1
										? parts.map((part, j) => {
												const first = /^M([\d.-]+)/.exec(part)![1];
												const last = /([\d.-]+) [\d.-]+$/.exec(part)![1];
												return <path key={j} class="chart-fill" d={`${part}L${last} ${HEIGHT}L${first} ${HEIGHT}Z`} />;
											})
										: null}
									{parts.map((part, j) => (
										<path key={j} class="chart-line" d={part} />
									))}
								</g>
							);
						})}
						{pointer !== null ? <line class="chart-cursor" x1={pointer * WIDTH} x2={pointer * WIDTH} y1="0" y2={HEIGHT} /> : null}
					</svg>
					<span class="chart-top">{format(top)}</span>
					{empty ? (
						<span class="chart-none">
							<span>No values yet</span>
						</span>
					) : null}
				</div>
				<div class="chart-times">
					<span>{clock(from, to - from)}</span>
					<span>{at !== null && marks[0] ? clock(marks[0][0], to - from) : ''}</span>
					<span>{clock(to, to - from)}</span>
				</div>
			</figure>
		);
	};
}
