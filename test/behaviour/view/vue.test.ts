import '../../support/dom'
import type { Seen } from 'millrace'
import { useChannel, useJson } from 'millrace/vue'
import { defineComponent, nextTick, shallowRef, unref, version } from 'vue'
import { mount, unmountAll } from '../vue/app'
import { type Component, describeView, isJson, READS, type Wants } from './table'

describeView(`Vue ${version}`, {
  clear: unmountAll,
  mount(client, first) {
    const renders: Partial<Seen<unknown>>[] = []
    const wants = shallowRef<Wants>(first)
    let refresh = async () => {}
    const Show = defineComponent(() => {
      const options = () => wants.value.options
      const seen = isJson(first)
        ? useJson(() => wants.value.url, options)
        : useChannel(() => wants.value.channel, options)
      refresh = seen.refresh
      return () => {
        const reads = wants.value.reads ?? READS
        renders.push(Object.fromEntries(reads.map((name) => [name, unref(seen[name] as unknown)])))
        return null
      }
    })
    const app = mount(Show, client)
    const component: Component = {
      renders,
      get now() {
        return renders.at(-1) ?? {}
      },
      get thrown() {
        return app.errors
      },
      async update(next) {
        wants.value = next
        await nextTick()
      },
      refresh: () => refresh(),
      unmount: app.unmount,
    }
    return component
  },
})
