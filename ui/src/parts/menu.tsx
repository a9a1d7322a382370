/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Menus behind a button. Spec: WAI-ARIA Authoring Practices, menu button: arrows, Home, End, Escape, first letters. */
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
	hint?: string;
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

export function Menu(_: MenuProps, self: Self) {
	let isOpen = false;
	let box: HTMLElement | null = null;

	const entries = () => [...(box?.querySelectorAll<HTMLElement>('[role^=menuitem]:not([aria-disabled=true])') ?? [])];
	const outside = (event: Event) => {
		if (box && !box.contains(event.target as globalThis.Node)) close(false);
	};
	const close = (focus: boolean) => {
		isOpen = false;
		removeEventListener('pointerdown', outside, true);
		if (focus) box?.querySelector<HTMLElement>('.button')?.focus();
		redraw();
	};
	const show = (last = false) => {
		isOpen = true;
		addEventListener('pointerdown', outside, true);
		redraw();
		requestAnimationFrame(() => requestAnimationFrame(() => entries().at(last ? -1 : 0)?.focus()));
	};
	self.onRemove(() => removeEventListener('pointerdown', outside, true));

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
					<div class="menu-list">
						{above ? <div class="menu-above">{above}</div> : null}
						<div role="menu" aria-label={label ?? button.label}>
							{shown.map((item, i) =>
								item === null ? (
									<div key={i} class="menu-line" role="separator" />
								) : (
									<Entry key={i} item={item} close={() => close(!item.href)} />
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
		role: item.checked === undefined ? 'menuitem' : 'menuitemradio',
		'aria-checked': item.checked === undefined ? undefined : String(item.checked),
		'aria-disabled': item.disabled ? 'true' : undefined,
		tabindex: '-1',
		class: `menu-item${item.danger ? ' danger' : ''}`,
		title: item.hint,
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
