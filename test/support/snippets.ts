import { readFileSync } from 'node:fs'

/** A fenced block of a page of Markdown. */
export interface Snippet {
  /** The heading that it stands under, and which of its blocks it is: `React 2`. */
  readonly name: string
  readonly language: string
  /** The file that a reader puts it into, if it says so: by that name others import it. */
  readonly file: string | undefined
  readonly code: string
}

export function snippetsOf(page: string): Snippet[] {
  const snippets: Snippet[] = []
  let heading = ''
  let count = 0
  const part = /^#+ (?<title>.*)$|^```(?<language>\w*)(?: (?<file>\S+))?\n(?<code>[\s\S]*?)^```$/gm
  for (const { groups = {} } of readFileSync(page, 'utf8').matchAll(part)) {
    const { title, language = '', file, code = '' } = groups
    if (title === undefined) {
      count += 1
      snippets.push({ name: `${heading} ${count}`, language, file, code })
    } else {
      heading = title.replaceAll('`', '')
      count = 0
    }
  }
  return snippets
}

/** The rows of the tables of a page, by the heading that they stand under; `code` without its ticks. */
export function tablesOf(page: string): Record<string, string[][][]> {
  const tables: Record<string, string[][][]> = {}
  for (const section of readFileSync(page, 'utf8').split(/^#+ /m)) {
    const found = section.match(/(?:^\|.*\n)+/gm) ?? []
    tables[section.split('\n', 1)[0]!] = found.map((table) =>
      table
        .trim()
        .split('\n')
        .slice(2)
        .map((row) =>
          row
            .split('|')
            .slice(1, -1)
            .map((cell) => cell.trim().replace(/^`(.*)`$/, '$1')),
        ),
    )
  }
  return tables
}
