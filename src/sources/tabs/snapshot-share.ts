/**
 * A snapshot that all tabs share. Each keeps its own time; whoever finds that a poll is due asks the leader, who asks the
 * server once and tells all. So the slow timers of a hidden leader do not matter, and nobody need know what others want.
 */
import type { JsonAnswer, KeptAnswer } from '../../network/coordinated-fetch'
import { attempt } from '../../primitives/platform'
import type { AskKind, Question, SnapshotCore, SnapshotShare } from '../snapshot'
import type { SourceContext } from '../source-context'
import { createLink, type TabMessage } from './link'
import type { TabPlatform } from './platform'
import { isHeaderList, packError, tabName, unpackError } from './wire'

/** An answer, as it is told. */
type Body = Omit<KeptAnswer, 'key' | 'url' | 'bytes'> & Pick<JsonAnswer, 'key' | 'url' | 'bytes'>

/** ms: answers to what was asked of a leader that died are not waited for longer. */
const PATIENCE = 30_000
/** ms that an answer may have been on its way from tab to tab, for which it seems younger than it is. */
const TRANSIT = 1_000

export const shareSnapshot =
  ({ clock, alert, requests }: SourceContext, identity: string, tabs: TabPlatform) =>
  (core: SnapshotCore): SnapshotShare => {
    /** What this tab waits for, and the leader that was asked. */
    let asked:
      | { readonly question: Question; readonly number: number; of: string; readonly done: () => void }
      | undefined
    let questions = 0
    /** Who was heard last, and its epoch: two tabs may have led in one, and one tab in two. */
    let leader = ''
    /** The shortest interval of those who asked, and when that was. */
    let shortest = Infinity
    let shortestAt = 0

    const link = createLink(tabs, tabName('snapshot', identity), clock, alert, {
      start: core.turn,
      stop: core.turn,
      greeting: () => ({}),
      welcome() {
        const last = core.last()
        const trouble = core.trouble()
        return {
          last: last && bodyOf(last),
          trouble: trouble && { ...trouble, error: packError(trouble.error) },
        }
      },
      sign: () => ({}),
      onLeader: () => link.greet(),
      onMessage,
      onRole: core.tell,
    })
    return {
      role: link.role,
      leads: link.leads,
      join: link.join,
      park: link.park,
      separate: link.separate,
      ask(question) {
        return new Promise((resolve) => {
          const done = () => {
            cancel()
            if (asked?.question === question) asked = undefined
            resolve()
          }
          const cancel = clock.after(PATIENCE, done, `answer of ${core.endpoint()}`)
          question.controller.signal.addEventListener('abort', done)
          asked = { question, number: questions++, of: '', done }
          pose()
        })
      },
      asking: () => link.relay('asking'),
      hasFollowers: link.hasFollowers,
      interval: () => (isCurrent() ? shortest : Infinity),
      tell(answer) {
        if (!answer || answer.isEmpty) link.relay('nothing')
        else if (link.hasFollowers()) link.post('body', bodyOf(answer))
      },
      tellTrouble: ({ error, ...trouble }) => link.relay('trouble', { ...trouble, error: packError(error) }),
    }

    /** Whoever wanted it asks again and again. */
    function isCurrent(): boolean {
      return clock.elapsed() - shortestAt < 3 * shortest
    }

    /** Asks a leader that was not asked yet, once it is known. */
    function pose(): void {
      if (!asked || !leader || asked.of === leader || link.role() !== 'follower') return
      asked.of = leader
      const { number, question } = asked
      const { kind, isFresh, maxAge } = question
      question.isSent = true
      link.post('ask', { number, kind, fresh: isFresh, maxAge, every: core.interval() })
    }

    function onMessage(message: TabMessage): void {
      const { type, from, number, e } = message
      if (e !== undefined) leader = `${from} ${e}`
      if (type === 'ask') onAsk(message)
      else if (type === 'done') {
        if (asked?.number === number) asked?.done()
      } else if (type === 'asking') core.onAsk()
      else if (type === 'body') onBody(message as never)
      else if (type === 'nothing') core.hear(undefined)
      else if (type === 'trouble') onTrouble(message)
      else if (type === 'welcome') onWelcome(message)
    }

    function onAsk({ from, number, kind, fresh, maxAge, every }: TabMessage): void {
      const pace = typeof every === 'number' && every > 0 ? every : Infinity
      if (pace <= shortest || !isCurrent()) {
        shortest = pace
        shortestAt = clock.elapsed()
      }
      const how = /^(foreground|refresh)$/.test(String(kind)) ? (kind as AskKind) : 'background'
      void core
        .serve(how, fresh === true, typeof maxAge === 'number' ? maxAge : 0, pace)
        .then(() => link.post('done', { to: from, number }))
    }

    /** It may be all that was to be asked. */
    function onWelcome({ last, trouble }: TabMessage): void {
      const age = last ? onBody(last as Body, true) : Infinity
      const hasFailed = trouble !== undefined && onTrouble(trouble as TabMessage)
      if (!asked) return
      const { question, of } = asked
      const every = core.interval() ?? Infinity
      const isEnough = hasFailed || age < (every < Infinity ? every : question.maxAge)
      if (isEnough && !question.isFresh && !of) asked.done()
      else pose()
    }

    function onTrouble({ error: told, failures, wait }: { readonly [field: string]: unknown }): boolean {
      const error = unpackError(told)
      if (!error || !((failures as number) >= 0) || !((wait as number) >= 0)) return false
      core.hearTrouble({ error, failures: Number(failures), wait: Number(wait) })
      return true
    }

    /** How old it is. This tab may have a newer one, from another leader. */
    function onBody(body: Body, late = false): number {
      const { value, headers, age, sentAgo, toldAt, key, url, bytes } = body
      if (!isHeaderList(headers) || !(age >= 0) || !(sentAgo >= 0) || !Number.isFinite(toldAt)) return Infinity
      const now = clock.elapsed() - Math.max(0, clock.now() - toldAt)
      const sentAt = now - sentAgo
      // An answer that was on its way seems younger than it is.
      if (sentAt - (late ? TRANSIT : 0) < (core.last()?.sentAt ?? -Infinity)) return Infinity
      const known = attempt(() => new Headers(headers))
      if (!known) return Infinity
      core.hear({ value, headers: known, at: now - age, sentAt }, late)
      if (typeof key === 'string' && typeof url === 'string' && typeof bytes === 'number')
        requests.learn({ ...body, key, url, bytes })
      return clock.elapsed() - now + age
    }

    function bodyOf({ value, headers, isSecret, key, url, bytes, at = 0, sentAt = 0 }: JsonAnswer): Body {
      const now = clock.elapsed()
      const age = Math.max(0, now - at)
      const sentAgo = Math.max(age, now - sentAt)
      return { value, headers: [...headers], age, sentAgo, toldAt: clock.now(), ...(!isSecret && { key, url, bytes }) }
    }
  }
