/**
 * Values the way the reference prints them in its error texts (rule D7): as Elixir inspects them, broken at 80 columns.
 */
export type Inspectable =
  | string
  | number
  | boolean
  | null
  | { readonly list: readonly Inspectable[] }
  | { readonly tuple: readonly Inspectable[] }
  | { readonly map: Readonly<Record<string, Inspectable>> }

const WIDTH = 80

export function inspect(value: Inspectable, indent = 0): string {
  const flat = flatText(value)
  if (indent + flat.length <= WIDTH || value === null || typeof value !== 'object') return flat
  if ('tuple' in value) return `{${filled(value.tuple, indent + 1)}}`
  const pad = ' '.repeat(indent + 2)
  if ('list' in value) return `[\n${value.list.map((item) => pad + inspect(item, indent + 2)).join(',\n')}\n${' '.repeat(indent)}]`
  const items = Object.entries(value.map).map(([key, item]) => `${pad}${quoted(key)} => ${inspect(item, indent + 2)}`)
  return `%{\n${items.join(',\n')}\n${' '.repeat(indent)}}`
}

/** What came as JSON, ready to be printed. Maps are printed in the order of their keys. */
export function inspectable(json: unknown): Inspectable {
  if (json === null || json === undefined) return null
  if (typeof json === 'string' || typeof json === 'number' || typeof json === 'boolean') return json
  if (Array.isArray(json)) return { list: json.map(inspectable) }
  if (typeof json !== 'object') return null
  const entries = Object.entries(json).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return { map: Object.fromEntries(entries.map(([key, value]) => [key, inspectable(value)])) }
}

function flatText(value: Inspectable): string {
  if (value === null) return 'nil'
  if (typeof value === 'string') return quoted(value)
  if (typeof value !== 'object') return String(value)
  if ('list' in value) return `[${value.list.map(flatText).join(', ')}]`
  if ('tuple' in value) return `{${value.tuple.map(flatText).join(', ')}}`
  return `%{${Object.entries(value.map)
    .map(([key, item]) => `${quoted(key)} => ${flatText(item)}`)
    .join(', ')}}`
}

/** As many on a line as fit. */
function filled(items: readonly Inspectable[], indent: number): string {
  let text = ''
  let column = indent
  items.forEach((item, index) => {
    const part = flatText(item) + (index < items.length - 1 ? ',' : '')
    if (text !== '' && column + 1 + part.length > WIDTH) {
      text += `\n${' '.repeat(indent)}${part}`
      column = indent + part.length
    } else {
      text += (text === '' ? '' : ' ') + part
      column += part.length + (text === part ? 0 : 1)
    }
  })
  return text
}

function quoted(text: string): string {
  const escaped = text.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n').replace(/\r/g, '\\r').replace(/\t/g, '\\t')
  return `"${escaped.replaceAll('#{', '\\#{')}"`
}
