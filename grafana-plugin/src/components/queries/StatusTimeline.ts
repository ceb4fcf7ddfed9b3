import { QueryType } from './queryType';

export const statusTimeline: QueryType<object> = {
  label: 'Status timeline',
  description: "Each device's states, for the state timeline panel.",
  defaults: {},
  hasLegend: true,
};
