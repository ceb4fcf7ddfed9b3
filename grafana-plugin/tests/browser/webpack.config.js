// The page of the browser test: Grafana's components around the built bundle. Not part of the plugin.
const path = require('path');
const base = require('../../webpack.config.js');

module.exports = {
  mode: 'development',
  devtool: false,
  context: __dirname,
  entry: { page: './page.tsx' },
  resolve: base.resolve,
  module: {
    rules: [...base.module.rules, { test: /\.css$/, type: 'asset/source' }, { test: /\.m?js$/, resolve: { fullySpecified: false } }],
  },
  output: { path: path.join(__dirname, '../../dist/.browser'), filename: '[name].js', publicPath: 'auto' },
  performance: { hints: false },
};
