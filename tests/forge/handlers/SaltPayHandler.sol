// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {FalseReturnToken} from "../mocks/FalseReturnToken.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {QuietToken} from "../mocks/QuietToken.sol";
import {RebasingToken} from "../mocks/RebasingToken.sol";
import {ReentrantReceiver} from "../mocks/ReentrantReceiver.sol";
import {ReentrantToken} from "../mocks/ReentrantToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {ReturnBombReceiver} from "../mocks/ReturnBombReceiver.sol";
import {WalletReceiver} from "../mocks/WalletReceiver.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {CommonBase} from "forge-std/Base.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice Pays through SaltPay at random: any account to any other, in the native coin and in honest and hostile
/// tokens, also straight at the contract. It keeps what the events said, to be held against the balances.
contract SaltPayHandler is CommonBase, StdUtils {
    using SafeCast for uint256;

    uint256 public constant FUNDS = 1_000_000 ether;

    ISaltPay private immutable saltPay;

    /// @notice All accounts that may hold anything, except SaltPay.
    address[] public accounts;

    /// @notice The native coin as the zero address, then the tokens.
    address[] public assets;

    /// @notice How many payments the events have told of.
    uint256 public payments;

    /// @notice What the events say that an account was paid, less what it paid.
    mapping(address asset => mapping(address account => int256 amount)) public net;

    constructor(ISaltPay saltPay_) {
        saltPay = saltPay_;

        address collector = address(uint160(uint256(keccak256("collector"))));
        accounts.push(address(uint160(uint256(keccak256("first")))));
        accounts.push(address(uint160(uint256(keccak256("second")))));
        accounts.push(collector);
        accounts.push(address(new WalletReceiver()));
        accounts.push(address(new RefusingReceiver()));
        accounts.push(address(new ReturnBombReceiver(false)));
        accounts.push(address(new ReturnBombReceiver(true)));
        accounts.push(address(new ReentrantReceiver(saltPay_, keccak256("passed on"), collector)));

        assets.push(address(0));
        assets.push(address(new PlainToken()));
        assets.push(address(new FeeOnTransferToken()));
        assets.push(address(new RebasingToken()));
        assets.push(address(new QuietToken()));
        assets.push(address(new FalseReturnToken()));
        assets.push(address(new ReentrantToken(saltPay_, keccak256("counted twice"))));
        // What the reentrant token pays with when it pays again.
        accounts.push(assets[assets.length - 1]);

        for (uint256 i = 0; i < accounts.length; ++i) {
            vm.deal(accounts[i], FUNDS);
            for (uint256 j = 1; j < assets.length; ++j) {
                PlainToken(assets[j]).mint(accounts[i], FUNDS);
                vm.prank(accounts[i]);
                PlainToken(assets[j]).approve(address(saltPay_), type(uint256).max);
            }
        }
    }

    function pay(uint256 from, uint256 to, bytes32 paymentReference, uint256 amount) external {
        (address payer, address payee) = (accountOf(from), accountOf(to));
        amount = bound(amount, 0, payer.balance);

        vm.recordLogs();
        vm.prank(payer);
        try saltPay.pay{value: amount}(paymentReference, payee) {
            readPayments();
        } catch {}
    }

    function payToken(uint256 from, uint256 to, uint256 which, bytes32 paymentReference, uint256 amount, int256 rebase)
        external
    {
        (address payer, address payee) = (accountOf(from), accountOf(to));
        address asset = assets[bound(which, 1, assets.length - 1)];
        amount = bound(amount, 0, 2 * FUNDS);
        if (asset == assets[3]) RebasingToken(asset).setRebase(bound(rebase, -1, 1));

        vm.recordLogs();
        vm.prank(payer);
        try saltPay.payToken(paymentReference, payee, asset, amount) {
            readPayments();
        } catch {}
    }

    /// @dev No token here takes a permit, so it is the allowance that pays.
    function payWithPermit(uint256 from, uint256 to, uint256 which, bytes32 paymentReference, uint256 amount) external {
        (address payer, address payee) = (accountOf(from), accountOf(to));
        address asset = assets[bound(which, 1, assets.length - 1)];
        amount = bound(amount, 0, 2 * FUNDS);

        vm.recordLogs();
        vm.prank(payer);
        try saltPay.payWithPermit(paymentReference, payee, asset, amount, 0, 27, 0, 0) {
            readPayments();
        } catch {}
    }

    /// @dev Up to four orders, mixed, mostly with the right value.
    function payMany(uint256 from, uint256[4] calldata seeds, uint256 count, uint256 error) external {
        address payer = accountOf(from);
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](bound(count, 0, 4));
        uint256 value = error % 8 == 0 ? error % 3 : 0;
        for (uint256 i = 0; i < orders.length; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seeds[i])));
            orders[i] = ISaltPay.Order({
                paymentReference: bytes32(random),
                payee: accounts[random % accounts.length],
                asset: (random >> 16) % 2 == 0 ? address(0) : assets[(random >> 32) % assets.length],
                amount: (random >> 64) % (FUNDS / 1_000)
            });
            if (orders[i].asset == address(0)) value += orders[i].amount;
        }
        if (value > payer.balance) return;

        vm.recordLogs();
        vm.prank(payer);
        try saltPay.payMany{value: value}(orders) {
            readPayments();
        } catch {}
    }

    /// @dev Coins and calls that SaltPay has no function for.
    function intrude(uint256 from, bytes calldata data, uint256 amount) external {
        if (isFunction(data)) return;
        address payer = accountOf(from);
        amount = bound(amount, 0, payer.balance);

        vm.prank(payer);
        (bool accepted,) = address(saltPay).call{value: amount}(data);
        require(!accepted, "SaltPay accepted what is no payment");
    }

    function accountCount() external view returns (uint256) {
        return accounts.length;
    }

    function assetCount() external view returns (uint256) {
        return assets.length;
    }

    function isFunction(bytes calldata data) private pure returns (bool) {
        if (data.length < 4) return false;
        // forge-lint: disable-next-item(unsafe-typecast)
        bytes4 selector = bytes4(data);
        return selector == ISaltPay.pay.selector || selector == ISaltPay.payToken.selector
            || selector == ISaltPay.payWithPermit.selector || selector == ISaltPay.payMany.selector;
    }

    /// @dev Called after what succeeded alone: the logs of what was reverted are recorded too.
    function readPayments() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(saltPay)) continue;
            (address asset, uint256 amount) = abi.decode(logs[i].data, (address, uint256));
            net[asset][address(uint160(uint256(logs[i].topics[2])))] -= amount.toInt256();
            net[asset][address(uint160(uint256(logs[i].topics[3])))] += amount.toInt256();
            ++payments;
        }
    }

    function accountOf(uint256 index) private view returns (address) {
        return accounts[bound(index, 0, accounts.length - 1)];
    }
}
