/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Menus behind a button. Spec: WAI-ARIA Authoring Practices, menu button: arrows, Home, End, Escape, first letters. They
 * are popovers: nothing on the page lies over them or cuts them off.
 */
import { type Child, h, redraw, type Self } from '../base/view';
import { Button, type ButtonProps } from './basic';
import { Icon } from './icon';

export interface MenuItem {
	label: string;
	icon?: string;
	danger?: boolean;
	allowed?: boolean; // false: it is not offered
	disabled?: boolean;
	checked?: boolean;
	stays?: boolean; // the menu stays open: there may be more to switch
	href?: string;
	run?: () => void;
}

interface MenuProps {
	button: ButtonProps;
	items: (MenuItem | null)[]; // null: a line between
	label?: string;
	above?: Child;
}

/** Without what is not allowed, and without lines that part nothing. */
function offered(items: (MenuItem | null)[]): (MenuItem | null)[] {
	const kept = items.filter((item) => item?.allowed !== false);
	return kept.filter((item, i) => item !== null || (kept.slice(0, i).some(Boolean) && Boolean(kept[i + 1])));
}

const GAP = 4; // pixels to the button
const EDGE = 8; // and to the edges of the window

/** Below its button, or above where there is more room. */
function place(list: HTMLElement, button: Element): void {
	const at = button.getBoundingClientRect();
	list.style.maxHeight = '';
	const { width, height } = list.getBoundingClientRect();
	const below = innerHeight - at.bottom - GAP - EDGE;
	const above = at.top - GAP - EDGE;
	const isUp = height > below && above > below;
	const room = Math.min(height, isUp ? above : below);
	list.style.maxHeight = `${room}px`;
	list.style.top = `${isUp ? at.top - GAP - room : at.bottom + GAP}px`;
	list.style.left = `${Math.max(EDGE, Math.min(at.right, innerWidth - EDGE) - width)}px`;
}

export function Menu(_: MenuProps, self: Self) {
	let isOpen = false;
	let box: HTMLElement | null = null;

	const entries = () => [...(box?.querySelectorAll<HTMLElement>('[role^=menuitem]:not([aria-disabled=true])') ?? [])];
	const outside = (event: Event) => {
		if (box && !box.contains(event.target as globalThis.Node)) close(false);
	};
	const follow = (event?: Event) => {
		const list = box?.querySelector<HTMLElement>('.menu-list');
		if (list && event?.target !== list) place(list, box!);
	};
	const listen = (on: boolean) => {
		const change = on ? addEventListener : removeEventListener;
		change('pointerdown', outside, true);
		change('scroll', follow, true);
		change('resize', follow);
	};
	const close = (focus: boolean) => {
		isOpen = false;
		listen(false);
		if (focus) box?.querySelector<HTMLElement>('.button')?.focus();
		redraw();
	};
	const show = (last = false) => {
		isOpen = true;
		listen(true);
		redraw();
		requestAnimationFrame(() => requestAnimationFrame(() => entries().at(last ? -1 : 0)?.focus()));
	};
	self.onRemove(() => listen(false));

	const onKeydown = (event: KeyboardEvent) => {
		if (!isOpen) {
			if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
				event.preventDefault();
				show(event.key === 'ArrowUp');
			}
			return;
		}
		const all = entries();
		const at = all.indexOf(document.activeElement as HTMLElement);
		const to = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
		if (to !== undefined) {
			event.preventDefault();
			all[to % all.length]?.focus();
		} else if (event.key === 'Escape') {
			event.stopPropagation();
			event.preventDefault();
			close(true);
		} else if (event.key === 'Tab') {
			close(false);
		} else if (event.key.length === 1) {
			const from = [...all.slice(at + 1), ...all.slice(0, at + 1)];
			from.find((one) => one.textContent?.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
		}
	};

	return ({ button, items, label, above }: MenuProps) => {
		const shown = offered(items);
		if (!shown.length) return null;
		return (
			<div
				class="menu"
				onKeydown={onKeydown}
				ref={(dom: HTMLElement) => {
					box = dom;
				}}
			>
				<Button
					{...button}
					onClick={() => (isOpen ? close(true) : show())}
					attributes={{ ...button.attributes, 'aria-haspopup': 'menu', 'aria-expanded': String(isOpen) }}
				/>
				{isOpen ? (
					<div
						class="menu-list"
						popover="manual"
						ref={(dom: HTMLElement) => {
							dom.showPopover();
							follow();
						}}
					>
						{above ? <div class="menu-above">{above}</div> : null}
						<div role="menu" aria-label={label ?? button.label}>
							{shown.map((item, i) =>
								item === null ? (
									<div key={i} class="menu-line" role="separator" />
								) : (
									<Entry key={i} item={item} close={() => item.stays || close(!item.href)} />
								),
							)}
						</div>
					</div>
				) : null}
			</div>
		);
	};
}

function Entry({ item, close }: { item: MenuItem; close: () => void }) {
	const attributes = {
		role: item.checked === undefined ? 'menuitem' : item.stays ? 'menuitemcheckbox' : 'menuitemradio',
		'aria-checked': item.checked === undefined ? undefined : String(item.checked),
		'aria-disabled': item.disabled ? 'true' : undefined,
		tabindex: '-1',
		class: `menu-item${item.danger ? ' danger' : ''}`,
		onClick: (event: Event) => {
			if (item.disabled) {
				event.preventDefault();
				return;
			}
			close();
			item.run?.();
		},
	};
	const content = [
		item.checked !== undefined ? (
			<span class="menu-mark">{item.checked ? <Icon name="check" /> : null}</span>
		) : item.icon ? (
			<Icon name={item.icon} />
		) : null,
		<span class="grow cut">{item.label}</span>,
	];
	return item.href && !item.disabled ? (
		<a href={item.href} {...attributes}>
			{content}
		</a>
	) : (
		<button type="button" {...attributes}>
			{content}
		</button>
	);
}
