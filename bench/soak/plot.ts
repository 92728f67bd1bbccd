/**
 * A soak over time as an SVG, a panel for each thing that has to stay flat. It is shown on pages with a light and with a
 * dark ground, so it brings its own, and changes ground and ink together where the reader prefers dark.
 */
import { LineChart, type LineSeriesOption } from 'echarts/charts'
import {
  GridComponent,
  type GridComponentOption,
  TitleComponent,
  type TitleComponentOption,
} from 'echarts/components'
import { type ComposeOption, init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import type { Interval } from './intervals.ts'

use([LineChart, GridComponent, TitleComponent, SVGRenderer])

type Option = ComposeOption<LineSeriesOption | GridComponentOption | TitleComponentOption>

interface Line {
  /** Shown at its end where a panel has several. */
  readonly name: string
  readonly color: string
  readonly figureOf: (interval: Interval) => number | null
}

interface Panel {
  readonly title: string
  readonly lines: readonly Line[]
}

/** For those who cannot see it. */
export const PLOT_TITLE = 'Memory, files, bytes on the disk, latency and throughput over time'

const MB = 1e6
const GB = 1e9

/** Each of the colours of the light ground, and what it is on the dark one. */
const ground = { light: '#ffffff', dark: '#0d1117' }
const ink = { light: '#1f2328', dark: '#e6edf3' }
const quietInk = { light: '#59636e', dark: '#9198a1' }
const rule = { light: '#d1d9e0', dark: '#3d444d' }
const blue = { light: '#0969da', dark: '#4493f8' }
const orange = { light: '#bc4c00', dark: '#f0883e' }
const colors = [ground, ink, quietInk, rule, blue, orange]

const panels: readonly Panel[] = [
  {
    title: 'Resident memory of the broker, MB',
    lines: [line('', ({ residentBytes }) => (residentBytes === null ? null : residentBytes / MB))],
  },
  { title: 'Files in the data folder', lines: [line('', ({ files }) => files)] },
  { title: 'Data folder on the disk, GB', lines: [line('', ({ diskBytes }) => diskBytes / GB)] },
  { title: 'p99 latency of paced acknowledgements, ms', lines: [line('', ({ probe }) => probe.p99Ms)] },
  {
    title: 'Throughput, MB/s',
    lines: [
      line('in', ({ inBytesPerSecond }) => inBytesPerSecond / MB),
      line('out', ({ outBytesPerSecond }) => outBytesPerSecond / MB, orange.light),
    ],
  },
]

const WIDTH = 860
const LEFT = 64
/** Room for the names of lines. */
const RIGHT = 48
const TOP = 16
const TITLE_HEIGHT = 30
const PANEL_HEIGHT = 110
const PANEL_PITCH = 178
const BOTTOM = 12

export function plot(intervals: readonly Interval[]): string {
  const chart = init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: WIDTH,
    height: TOP + PANEL_PITCH * panels.length + BOTTOM,
  })
  chart.setOption(optionOf(intervals))
  const svg = chart.renderToSVGString()
  chart.dispose()
  return forPages(svg)
}

function optionOf(intervals: readonly Interval[]): Option {
  const top = (index: number) => TOP + index * PANEL_PITCH
  return {
    animation: false,
    backgroundColor: ground.light,
    // A name in quotation marks would end the attribute it is written into.
    textStyle: { fontFamily: 'system-ui, Helvetica, Arial, sans-serif' },
    title: panels.map(({ title }, index) => ({
      text: title,
      left: LEFT - 8,
      top: top(index),
      padding: [0, 8],
      textStyle: { color: ink.light, fontSize: 14, fontWeight: 600 },
    })),
    grid: panels.map((_, index) => ({
      left: LEFT,
      right: RIGHT,
      top: top(index) + TITLE_HEIGHT,
      height: PANEL_HEIGHT,
    })),
    xAxis: panels.map((_, gridIndex) => ({
      gridIndex,
      type: 'value' as const,
      min: 0,
      max: intervals.at(-1)!.endSeconds / 60,
      axisLabel: {
        color: quietInk.light,
        fontSize: 12,
        formatter: (minutes: number) => (Number.isInteger(minutes) ? `${minutes} min` : ''),
      },
      axisLine: { lineStyle: { color: rule.light } },
      axisTick: { lineStyle: { color: rule.light } },
      splitLine: { show: false },
    })),
    yAxis: panels.map((_, gridIndex) => ({
      gridIndex,
      type: 'value' as const,
      // What is to be flat is flat only from 0 on.
      min: 0,
      splitNumber: 4,
      axisLabel: { color: quietInk.light, fontSize: 12 },
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { lineStyle: { color: rule.light } },
    })),
    series: panels.flatMap(({ lines }, index) =>
      lines.map(({ name, color, figureOf }) => ({
        type: 'line' as const,
        xAxisIndex: index,
        yAxisIndex: index,
        showSymbol: false,
        lineStyle: { color, width: 1.5 },
        endLabel: { show: name !== '', formatter: name, color, fontSize: 12 },
        labelLayout: { moveOverlap: 'shiftY' as const },
        data: intervals.map((interval) => [interval.endSeconds / 60, figureOf(interval)]),
      })),
    ),
  }
}

function line(name: string, figureOf: Line['figureOf'], color = blue.light): Line {
  return { name, color, figureOf }
}

/** As a page shows it: with a title, colors for dark pages, and nothing that moves under the mouse. */
function forPages(svg: string): string {
  // Style sheets win over the attributes that the chart is drawn with.
  const rules = colors.flatMap(({ light, dark }) => [
    `[fill="${light}"]{fill:${dark}}`,
    `[stroke="${light}"]{stroke:${dark}}`,
  ])
  const style = `<style>@media(prefers-color-scheme:dark){${rules.join('')}}</style>`
  return svg
    .replace(/<style ><!\[CDATA\[.*?\]\]>\s*<\/style>\n?/s, '')
    .replace(/<svg[^>]*>/, (opening) => `${opening}\n<title>${PLOT_TITLE}</title>\n${style}`)
}
