import { createApp } from 'vue'
import InVue from './InVue.vue'

createApp(InVue).mount('#vue')
