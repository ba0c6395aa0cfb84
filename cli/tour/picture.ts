// The tour's table as a picture: the lines that it showed, on a dark ground, in SVG. Pure.

const CHARACTER = 7.85
const LINE = 19
const MARGIN = 16
const COLOURS: Readonly<Record<string, string>> = { '✓': '#5fd38d', '✗': '#ff6b68', '·': '#8b949e' }

/** @param lines  as they were shown; the longest makes the width */
export function pictureOf(lines: readonly string[]): string {
  const width = Math.ceil(Math.max(...lines.map((line) => line.length)) * CHARACTER + 2 * MARGIN)
  const height = lines.length * LINE + 2 * MARGIN
  const texts = lines.map((line, index) => {
    const colour = COLOURS[line[0] ?? '']
    const sign = colour === undefined ? '' : `<tspan fill="${colour}">${line[0] ?? ''}</tspan>`
    const rest = escaped(colour === undefined ? line : line.slice(1))
    return `<text x="${MARGIN}" y="${MARGIN + 13 + index * LINE}">${sign}${rest}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" fill="#e6edf3" xml:space="preserve">
${texts.join('\n')}
</g>
</svg>
`
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
