import '../../support/dom'
import type { Seen } from 'millrace'
import { useChannel, useJson } from 'millrace/react'
import { version } from 'react'
import { render, unmountAll } from '../react/render'
import { type Component, describeView, isJson, READS, type Wants } from './table'

describeView(`React ${version}`, {
  clear: unmountAll,
  mount(client, first) {
    const renders: Partial<Seen<unknown>>[] = []
    let refresh = async () => {}
    function Show({ wants }: { wants: Wants }) {
      // Which of the two stays while it is mounted.
      const seen = isJson(wants)
        ? useJson(wants.url, { ...wants.options })
        : useChannel(wants.channel, { ...wants.options })
      refresh = seen.refresh
      renders.push(Object.fromEntries((wants.reads ?? READS).map((name) => [name, seen[name]])))
      return null
    }
    const page = render(<Show wants={first} />, client)
    const component: Component = {
      renders,
      get now() {
        return renders.at(-1) ?? {}
      },
      get thrown() {
        return page.complaints
      },
      update: async (wants) => page.render(<Show wants={wants} />),
      refresh: () => refresh(),
      unmount: page.unmount,
    }
    return component
  },
})
