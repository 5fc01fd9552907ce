import { crawl } from './channels.js'
import { byId, count, element, kilobytes, seconds, setText } from './text.js'

/** The newest crawl, and a button for the next. */
export function showCrawls(client, vitals) {
  byId('crawl-start').addEventListener('click', () => followAnswer(client.fetch('/api/crawl', { method: 'POST' })))
  followAnswer(client.fetch('/api/crawl'))

  async function followAnswer(asked) {
    byId('crawl-start').disabled = true
    try {
      const answer = await asked
      follow((await answer.json()).id)
      setText(byId('crawl-trouble'), '')
    } catch (error) {
      setText(byId('crawl-trouble'), error.message)
    }
    byId('crawl-start').disabled = false
  }

  function follow(id) {
    let highest = 0
    let wentBack = 0
    let ends = 0
    let took = 0
    setText(byId('crawl-ends'), 'none')
    vitals.watch(
      crawl(id),
      {
        state({ data }) {
          if (!data) return
          if (data.fetched < highest) wentBack += 1
          highest = Math.max(highest, data.fetched)
          took = data.ms ?? 0
          show(data)
        },
        complete() {
          ends += 1
          setText(byId('crawl-ends'), `${ends}, after ${seconds(took)}`)
        },
      },
      `crawl ${id}`,
    )

    function show({ fetched, total, failed, bytes, latest }) {
      setText(byId('crawl-count'), count(fetched))
      setText(byId('crawl-total'), total === 0 ? '–' : count(total))
      setText(byId('crawl-failed'), count(failed))
      setText(byId('crawl-bytes'), kilobytes(bytes))
      setText(byId('crawl-back'), wentBack)
      byId('crawl-progress').max = Math.max(1, total)
      byId('crawl-progress').value = fetched
      byId('crawl-paths').replaceChildren(
        ...latest.map(({ path, ok }) =>
          element('li', ok ? 'path' : 'path unreadable', ok ? path : `${path} (unreadable)`),
        ),
      )
    }
  }
}
