import '../../support/dom'
import { jsonChannel, type MaybeChannel, type Seen, type StreamEvent } from 'millrace'
import { bind } from 'millrace/vanilla'
import { type Component, describeView, isJson, READS, type Wants } from './table'

const bound = new Set<() => void>()

describeView('without a framework', {
  clear() {
    for (const unbind of bound) unbind()
    bound.clear()
  },
  async mount(client, first) {
    const element = document.createElement('p')
    const renders: Partial<Seen<unknown>>[] = []
    let refresh = async () => {}
    let unbind = () => {}
    const show = (wants: Wants) => {
      const before = unbind
      bound.delete(before)
      const channel = isJson(wants)
        ? (jsonChannel(wants.url, wants.options) as MaybeChannel<unknown, StreamEvent>)
        : wants.channel
      const { select, isEqual, ...options } = wants.options ?? {}
      unbind = bind(
        element,
        channel,
        (seen) => {
          refresh = seen.refresh
          renders.push(Object.fromEntries((wants.reads ?? READS).map((name) => [name, seen[name]])))
        },
        { ...options, select, isEqual, client },
      )
      bound.add(unbind)
      before()
    }
    show(first)
    // Not before `bind` has returned.
    await undefined
    const component: Component = {
      renders,
      get now() {
        return renders.at(-1) ?? {}
      },
      thrown: [],
      async update(wants) {
        show(wants)
        await undefined
      },
      refresh: () => refresh(),
      unmount: () => unbind(),
    }
    return component
  },
})
