/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which page shows which address. */
import { type Child, h } from '../base/view';
import { words } from '../base/format';
import { allKinds, hasKind } from '../api/schema';
import { Button, Empty } from '../parts/basic';
import { ApiPage } from './api';
import { AuditPage } from './audit';
import { CreateVm } from './create-vm';
import { ImageList, NewImage } from './images';
import { KindList } from './kind-list';
import { KindPage } from './kind-page';
import { NewThing } from './new';
import { HostPage } from './host';
import { OperationsPage } from './operations';
import { Overview } from './overview';
import { TemplateList } from './template-list';
import { VmPage } from './vm';
import { VmList } from './vms';

function title(text: string): void {
	document.title = text ? `${text} · Cella` : 'Cella';
}

function Nowhere() {
	return (
		<Empty icon="search" title="There is nothing here" action={<Button label="To the overview" href="#/" />}>
			The address names no page of the console.
		</Empty>
	);
}

export function page(path: string[]): Child {
	const [first = '', second, third] = path;
	if (!first) {
		title('');
		return <Overview />;
	}
	const kind = allKinds().find((one) => one.plural === first);
	if (first === 'operations') {
		title('Operations');
		return <OperationsPage />;
	}
	if (first === 'audit') {
		title('Audit');
		return <AuditPage />;
	}
	if (first === 'api') {
		title('API');
		return <ApiPage />;
	}
	if (!kind || !hasKind(kind.name)) return <Nowhere />;
	if (kind.name === 'node' && !second) {
		title('Host');
		return <HostPage />;
	}
	if (!second) {
		title(words(kind.plural));
		if (kind.name === 'vm') return <VmList />;
		if (kind.name === 'image') return <ImageList />;
		if (kind.name === 'template') return <TemplateList />;
		return <KindList key={kind.name} kind={kind} />;
	}
	if (second === 'new' && !third && !kind.internal) {
		title(`New ${words(kind.name)}`);
		if (kind.name === 'vm') return <CreateVm />;
		if (kind.name === 'image') return <NewImage />;
		return <NewThing key={kind.name} kind={kind} />;
	}
	const inProject = kind.scope === 'project';
	const name = inProject ? third : second;
	if (!name) return <Nowhere />;
	title(name);
	if (kind.name === 'vm') return <VmPage key={`${second}/${name}`} project={second} name={name} tab={path[3] ?? ''} />;
	return <KindPage key={`${kind.name}/${second}/${name}`} kind={kind} project={inProject ? second : undefined} name={name} tab={path[inProject ? 3 : 2] ?? ''} />;
}
