'use strict';
(() => {
  const report = JSON.parse(document.getElementById('report').textContent);
  const main = document.querySelector('main');
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const color = {
    delivered: '#2f9e44', deferred: '#f59f00', bounced: '#e03131', expired: '#a61e4d',
    uncertain: '#7048e8', in_flight: '#7048e8', suppressed: '#748ffc', dropped: '#748ffc',
    unrenderable: '#c2255c', rejected: '#c2255c', cancelled: '#868e96', pending: '#adb5bd',
    other: '#1c7ed6',
  };
  const colorOf = (name) => color[name] || color.other;
  const grouped = (n) => n.toLocaleString('en-US');
  const kTopBars = 12, kTableRows = 200, kReplies = 5;

  // Everything foreign comes in here, as text.
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const section = (title, wide) => {
    const element = make('section', undefined, wide ? 'wide' : '');
    element.append(make('h2', title));
    main.append(element);
    return element;
  };
  const table = (parent, columns, rows, total) => {
    const element = make('table'), head = make('tr'), body = make('tbody');
    for (const [name, text] of columns) {
      const cell = make('th', name, text ? 'text' : '');
      cell.scope = 'col';
      head.append(cell);
    }
    for (const row of rows.slice(0, kTableRows)) {
      const line = make('tr');
      row.forEach((value, i) => {
        const cell = make('td', typeof value === 'number' ? grouped(value) : value,
                          columns[i][1] ? 'text' : '');
        line.append(cell);
      });
      body.append(line);
    }
    element.append(make('thead'), body);
    element.tHead.append(head);
    const scroll = make('div', undefined, 'rows');
    scroll.append(element);
    parent.append(scroll);
    const shown = Math.min(rows.length, kTableRows);
    if ((total || rows.length) > shown) {
      parent.append(make('p', `${grouped(shown)} of ${grouped(total || rows.length)} are shown; ` +
                              'volley report --json has more.', 'note'));
    }
  };

  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.color = dark ? '#9198a1' : '#57606a';
  Chart.defaults.borderColor = dark ? '#3d444d' : '#d8dee4';
  const chart = (parent, label, config) => {
    const box = make('div', undefined, 'chart'), canvas = make('canvas');
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${label}; the table has the numbers`);
    box.append(canvas);
    parent.insertBefore(box, parent.children[parent.tagName === 'SECTION' &&
                                             parent.classList.contains('first') ? 0 : 1] || null);
    new Chart(canvas, config);
  };
  const bars = (labels, datasets, horizontal) => ({
    type: 'bar',
    data: {labels, datasets},
    options: {
      indexAxis: horizontal ? 'y' : 'x',
      scales: {x: {stacked: true, beginAtZero: true}, y: {stacked: true, beginAtZero: true}},
      plugins: {legend: {display: datasets.length > 1}},
    },
  });
  const dataset = (name, data) =>
      ({label: name, data, backgroundColor: colorOf(name), maxBarThickness: 36});
  const short = (text) => text.length > 28 ? text.slice(0, 27) + '…' : text;

  const totals = Object.entries(report.totals).filter(([, count]) => count > 0);
  chart(document.querySelector('section.first'), 'Recipients by outcome', {
    type: 'doughnut',
    data: {
      labels: totals.map(([name]) => name),
      datasets: [{data: totals.map(([, count]) => count), borderWidth: 0,
                  backgroundColor: totals.map(([name]) => colorOf(name))}],
    },
    options: {plugins: {legend: {position: 'right'}}},
  });

  const time = (text) => new Date(text).toLocaleString(undefined, {hour12: false});
  if (report.timeline.length > 0) {
    const part = section('Over time');
    const names = ['delivered', 'deferred', 'other'];
    table(part, [['from', true], ...names.map((name) => [name])],
          report.timeline.map((slice) => [time(slice.time), ...names.map((name) => slice[name])]));
    chart(part, 'Tries over time',
          bars(report.timeline.map((slice) => time(slice.time)),
               names.map((name) => dataset(name, report.timeline.map((slice) => slice[name])))));
  }

  const bounced = (group) => group.bounced + group.expired;
  const groups = (title, list) => {
    if (list.length === 0) return;
    const part = section(title, true);
    table(part, [['name', true], ['delivered'], ['deferred'], ['bounced'], ['uncertain'],
                 ['half within, ms'], ['95 % within, ms']],
          list.map((g) => [g.name, g.delivered, g.deferred, bounced(g), g.uncertain, g.ms.p50,
                           g.ms.p95]));
    const top = list.slice(0, kTopBars);
    chart(part, title, bars(top.map((g) => short(g.name)), [
      dataset('delivered', top.map((g) => g.delivered)),
      dataset('deferred', top.map((g) => g.deferred)),
      dataset('bounced', top.map(bounced)),
    ], true));
  };
  groups('By domain', report.domains);
  if (report.relays.length > 1) groups('By relay or server', report.relays);

  if (report.categories.length > 0) {
    const part = section('Why not, at once', true);
    table(part, [['category', true], ['tries'], ['replies', true]],
          report.categories.map((c) => [c.name, c.count, '']));
    const lines = part.querySelectorAll('tbody tr');
    report.categories.slice(0, lines.length).forEach((category, i) => {
      const list = make('ul');
      for (const {reply, count} of category.replies.slice(0, kReplies)) {
        list.append(make('li', `${grouped(count)} × ${reply}`));
      }
      lines[i].lastElementChild.append(list);
    });
    const top = report.categories.slice(0, kTopBars);
    chart(part, 'Tries that did not deliver, by category',
          bars(top.map((c) => short(c.name)),
               [{...dataset('tries', top.map((c) => c.count)), backgroundColor: colorOf('bounced')}],
               true));
  }

  if (report.ms.count > 0) {
    const part = section('From composing to the answer');
    table(part, [['share of tries', true], ['within, ms']],
          [['50 %', report.ms.p50], ['95 %', report.ms.p95], ['99 %', report.ms.p99],
           ['all', report.ms.max]]);
  }
  if (report.limit_changes > 0) {
    const part = section('Limits changed by what servers said', true);
    table(part, [['when', true], ['lane', true], ['what', true], ['from', true], ['to', true],
                 ['cause', true]],
          report.last_limit_changes.map((c) => [time(c.time), c.lane, c.what, c.from, c.to, c.cause]),
          report.limit_changes);
  }
})();
